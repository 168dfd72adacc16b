"""Owns the closed word lists of the PHI rules: what is a given name, and what never is a name.

Lists, not code, because people add to them. `NOT_NAMES` keeps eponyms, drugs, tests, days, roles
and sentence openers from being read as people; `GIVEN_NAMES` are frequent given names of several
languages (public statistics) that let "Maria Lopez" be found without a label. A word in both is
decided by its cue: a title or a label wins, a mere neighbour does not.
"""


def words(text: str) -> frozenset[str]:
    """Return the words of a list that is written as one text."""
    return frozenset(text.split())


# Diseases, signs, scores, devices and procedures that carry a person's name.
EPONYMS = words(
    """
    addison adson alport alzheimer apgar babinski babesia baker barrett bartholin bartonella
    becker behcet bell bence bennett binet blalock boerhaave bouchard braden brown-sequard
    brudzinski budd buerger burkitt cabot caesarean chadwick charcot chagas cheyne child
    chvostek cockcroft colles coombs courvoisier crohn cullen cushing dandy dupuytren duchenne
    duke ebstein ehlers epstein fallot fabry fanconi foley fournier friedreich frank gaucher
    gault gaussian gerota gilbert glasgow gleason goodpasture gram graves grey guillain hartmann
    hashimoto heberden heimlich henoch hirschsprung hodgkin holter homan horner huntington
    hutchinson jackson janeway jones kaposi kawasaki kernig kaplan-meier kehr klinefelter koch
    korsakoff kussmaul lachman laennec lewy likert lisfranc lyme lynch mallampati mallory marfan
    mcburney mcmurray meckel meniere menten meier moro morton murphy nissen osgood osler paget
    pap parkinson peyronie phalen pott prader prinzmetal raynaud reiter reye reynolds richter
    ringer rinne roth romberg rovsing rorschach schlatter schwann sjogren skene snellen starling
    stevens-johnson stokes swan sydenham tay-sachs thomas tinel tourette trendelenburg trousseau
    turner valsalva virchow von waldenstrom weber wegener wernicke west whipple willebrand
    williams wilms wilson wolff wright zenker zollinger ranson wells charlson karnofsky braak
    allen barré barre ganz raphson bayes bishop bohr
    """
)

_CLINICAL = words(
    """
    ssn dea vin iban tel ext box id ip url udi mbi pin pager cell addr zip
    abdomen abdominal acetaminophen acute admission admit admitted adult advil age albumin alert
    allergies allergy amiodarone amlodipine amoxicillin anemia anion antibiotics apixaban appeal
    appointment aspirin assessment asthma atorvastatin attending azithromycin baseline battery
    benadryl bilirubin biopsy blood bmp bnp bowel bp bpm breast bun calcium cancer cardiac
    cardiology care case catheter cbc ceftriaxone chart chest chief chloride cholesterol chronic
    cipro ciprofloxacin claim client clinic clinical clopidogrel cmp coagulation code complaint
    complaints condition consent consult consultation continue copd count coumadin covid cr
    creatinine ct culture current date daughter day days death dermatology device diabetes
    diagnosis diagnostic dialysis diet digoxin discharge discharged disease disposition dob
    doctor documentation donor dose dosing drug dx ecg echo echocardiogram egfr ekg electrolytes
    eliquis emergency employer encounter endocrinology er estimated evaluation exam examination
    eye family father fax female fever ferritin fluid follow follow-up followup furosemide
    gabapentin general glucose gfr gastroenterology guarantor guardian gynecology health heart
    hematology hemoglobin heparin hgb history home hospital hpi hypertension ibuprofen icd icu
    id identified identifies illness imaging impression infection infusion inpatient inr insulin
    insurance insured intake iron jr kidney lab labs lactate laboratory lasix lesion
    levothyroxine lisinopril liver lipid losartan lung male magnesium marital mass md med
    medical medicaid medicare medication medications medicine member metformin metoprolol mild
    minutes moderate mother mr mrn mri mrs ms name narrative negative neurology neutrophils next
    night nka none normal note notes npi nurse nursing obese obstetrics omeprazole oncology
    onset operative opioid order ordering ordered orthopedics outpatient oxycodone oxygen pain
    palliative panel parent partner pathology patient patients pcp pe pediatrics penicillin
    pharmacist pharmacy phenytoin phone physical physician placebo plan platelet platelets plt
    pneumonia policy portal positive post potassium prednisone pregnancy prescriber prescription
    primary prior procedure prognosis progress propranolol protocol provider psychiatry
    psychiatric pt pulse radiology range rash rate ray recommend recommendation recommendations
    record records reference referral referred referring region relative remdesivir renal report
    reported reports resident respiratory respirations result results return review rivaroxaban
    rn room rosuvastatin rx sa saline schedule screening section see seen semaglutide serum
    severe sex shortness shunt sibling simvastatin skin social sodium son specimen spouse stable
    staff stage status stroke student subscriber subjective objective summary surgeon surgery
    surgical symptoms synthesis systolic diastolic tablet take taken telehealth temperature temp
    test tests therapy thyroid tobramycin today toxicology transfer treatment triage troponin
    tsh tylenol type ultrasound unit units unknown urinalysis urine urology vaccination vaccine
    vancomycin visit vital vitals walker warfarin wbc weight wife husband sister brother witness
    wound xarelto x-ray year years yes zoloft chemotherapy metastatic signature signed title
    gender race ethnicity occupation unremarkable na nan hr rr spo2 ambulance wheelchair
    concentrator pacemaker pump serial model lot stent carcinoma lymphoma melanoma
    """
)

_GENERAL = words(
    """
    dr prof miss mx doctor professor a about access account act action address advised after
    afternoon against agent agents agree all also although am among an and another answer any
    anyone are as ask at authority based because been before being below besides best between
    beyond both brother but button by call can case cause caller certainly children city
    citizens claimed class click client colleague company confirm consider contact country
    county court customer dear december decision declined despite did different disclosure
    district do does due during each east either email employee end english europe even every
    everybody everyone evidence example except few final finally finance financial first five
    for former found four friend from further get give given good government great group
    guidelines had has have he hello her here hers hi him his how however human i if in indeed
    inquiry instead interviewer into is it item items its january february march april june july
    august september october november just key keep kind law lawyer legal less let letter like
    list live lives living local long made mail main make manager many may me mean meeting
    message might mobile monday more morning most much must my named names national near need
    neighbor never new no nobody nor north not nothing notice now number of off office officer
    often on once one only open opposing or other our out over own own page paid part party
    passport payment people per person phone photo place plaintiff defendant please point
    position president previous price prompt public put quality question questions quick quote
    rather re reason received red regarding regards related reply request required response road
    same saturday say says school second security select self sender send sent service services
    she should show since sincerely sir sister situation six small so some someone south
    specific start state statement states still street subject such sunday support table teacher
    tel telephone ten than thank thanks that the their them then there therefore these they
    thing this those though three thursday time to together total town transfer trial tuesday
    two under university unless until up upon us use user using very via want was we website
    wednesday weekday week well went were west what when where whether which while who whom
    whose why will wire with within without women men word work world would write written wrong
    year years yesterday yet you young your friday weekend black white blue green high low rocky
    mountain virus university institute association foundation center centre hotel restaurant
    street avenue boulevard building floor suite unit apt american british french german italian
    spanish chinese indian european african asian northern southern eastern western christmas
    easter internet online google facebook microsoft apple amazon windows linux python java
    excel access granted denied system assistant model gpt chatgpt openai act bill
    """
)

NOT_NAMES = EPONYMS | _CLINICAL | _GENERAL

# Words that make the capitalised words before them an organisation or a thing, not a person.
ORGANISATION_ENDS = words(
    """
    hospital clinic center centre university college school institute foundation inc llc ltd
    corp corporation company group bank association pharmacy laboratories labs medical health
    healthcare memorial disease syndrome palsy sign score scale scan test catheter criteria
    classification fracture procedure contracture lymphoma sarcoma dementia thyroiditis tumor
    tumour plc gmbh partners society committee department church party street avenue road drive
    lane boulevard county court square park river lake island islands bay beach airport station
    state city republic kingdom act law theory theorem equation coefficient index formula
    nucleus bodies body pouch granulomatosis ulcer maneuver manoeuvre phenomenon anomaly
    deformity nodes
    """
)

US_STATES = (
    "AL AK AZ AR CA CO CT DE FL GA HI ID IL IN IA KS KY LA ME MD MA MI MN MS MO MT NE NV NH NJ NM "
    "NY NC ND OH OK OR PA RI SC SD TN TX UT VT VA WA WV WI WY DC PR VI GU AS MP AA AE AP FM MH PW"
)

US_STATE_NAMES = (
    "Alabama|Alaska|Arizona|Arkansas|California|Colorado|Connecticut|Delaware|Florida|Georgia|"
    "Hawaii|Idaho|Illinois|Indiana|Iowa|Kansas|Kentucky|Louisiana|Maine|Maryland|Massachusetts|"
    "Michigan|Minnesota|Mississippi|Missouri|Montana|Nebraska|Nevada|New Hampshire|New Jersey|"
    "New Mexico|New York|North Carolina|North Dakota|Ohio|Oklahoma|Oregon|Pennsylvania|"
    "Rhode Island|South Carolina|South Dakota|Tennessee|Texas|Utah|Vermont|Virginia|Washington|"
    "West Virginia|Wisconsin|Wyoming"
)

GIVEN_NAMES = words(
    """
    aaron abby abdul abdullah abigail abraham ada adam adrian adriana agnes ahmad ahmed aisha
    akira alan albert alberto alejandra alejandro alex alexander alexandra alexandre alexis
    alfred ali alice alicia alison allison alma alvaro amanda amber amelia amina amir amit amy
    ana anastasia anders andre andrea andreas andres andrew andrzej angel angela angelina anil
    anita anjali ann anna anne annette anthony antonio antti april archana arjun arlene arthur
    ashley ashok astrid audrey aurora barbara beatrice beatriz ben benjamin bernard beth betty
    beverly bianca bjorn bonnie bradley brandon brenda brian brigitte bruce bruno bryan caleb
    camila carl carla carlos carmen carol carolina caroline carolyn catherine cecilia chad
    charles charlotte chen cheryl chloe chris christian christina christine christopher cindy
    claire clara claudia colin connie craig cristina crystal cynthia daisuke daniel daniela
    danielle danny darius david dawn deborah debra deepak denise dennis derek diana diane diego
    dieter dimitri dmitri dolores dominic donald donna doris dorothy douglas dylan eduardo
    edward edwin eileen elaine elena eleanor elias elizabeth ella ellen elsa emil emily emma
    emmanuel enrique eric erica erik erika erin ernesto esther ethan eugene eva evan evelyn
    fatima felipe felix fernanda fernando fiona florence frances francesca francesco francis
    francisco franz fred frederick frida gabriel gabriela gabrielle gary gemma geoffrey george
    gerald gerard giovanni giulia giuseppe gladys gloria gordon graham greg gregory guillermo
    gustavo hannah hans harold harriet harry hassan heather hector heidi helen helena henri
    henrik henry hiroshi howard hugo hussein ian ibrahim ida igor ines ingrid irene iris irina
    isaac isabel isabella isabelle ivan jack jacob jacqueline jacques jaime james jamie jan jane
    janet janice jasmine jason javier jean jeff jeffrey jennifer jeremy jerome jerry jesse
    jessica jesus joan joanna joanne joel johan johanna john johnny jon jonas jonathan jorge
    jose joseph josephine joshua joyce juan juana judith judy julia julian julie julien june
    justin kalpana karen karim karin karl karla kate katherine kathleen kathryn katie kavita
    kayla keith kelly kenneth kenji kevin khalid kim kimberly klaus kristen kristin kristina
    krzysztof kumar kyle lakshmi lars laura lauren laurence laurent lawrence leah lee leila leo
    leon leonard leonardo leslie li liam lila lillian lily linda lindsay lisa logan lois lorenzo
    lori louis louise luca lucas lucia lucy luis luisa lukas luke lydia lynn madeleine madison
    magdalena malcolm manuel marc marcel marcia marco marcus margaret maria mariana marie
    marilyn marina mario marion marjorie mark marko marta martha martin martina marvin mary
    masako mateo mathieu matteo matthew matthias maureen maurice max megan mehmet mei melanie
    melissa mercedes michael michel michele michelle miguel mikael mike mila mildred milena ming
    miriam mohamed mohammad mohammed monica monika monique morgan muhammad mustafa nadia nancy
    naomi natalia natalie natasha nathan neha neil nicholas nicolas nicole nikolai nina noah
    noel nora noriko norma norman oliver olivia olga omar oscar otto owen pablo pamela paolo
    patricia patrick patrik paul paula pauline pedro peggy penelope peter petra philip philippe
    phillip phyllis pierre pilar piotr priya rachel rafael rahul raj rajesh ralph ramon randy
    rania raquel raymond rebecca regina renee ricardo richard rita robert roberta roberto robin
    rocio rodney roger roland roman ronald rosa rosario rose rosemary roy ruben russell ruth
    ryan sabine sabrina sally salma sam samantha samir samuel sandra sandeep sanjay sara sarah
    satoshi scott sean sebastian sergei sergio shane shannon sharon sheila shirley silvia simon
    simone sofia sofie sonia sonja sophia sophie stacy stanley stefan stefania stella stephanie
    stephen steve steven stuart sunil sunita suresh susan susana suzanne svetlana sven sylvia
    takashi tamara tammy tanya tara tatiana ted teresa terry theodore theresa thomas tiffany tim
    timothy tina todd tom tomas tony tracy travis trevor tyler ursula valentina valeria valerie
    vanessa vera veronica veronika victor victoria vijay vincent viola virginia vivian vladimir
    walter wanda wayne wei wendy werner wilhelm will william wolfgang xavier xin yan yasmin
    yolanda yuki yusuf yvette yvonne zachary zainab zoe
    """
)

# Words of NOT_NAMES that are also surnames or given names: behind a title or a given name they
# are one ("Dr. Young", "Mark Day"), alone they are not.
COULD_BE_NAMES = EPONYMS | words(
    """
    april august black blue brook church city court day dean drake english french german glass
    grace grant green heart hill home house hope june kind king lane law long lake low major
    mark marks march mason may miller mountain north page park parish parent place pope price
    rich rock rocky rose summer west south east white will wood woods work young bill frank gray
    jack pat sandy street son walker weeks winter carter case chase chance art best self small
    state waters wells rush bush speaker child ring american baker skin stent key ray marital
    """
)

# Nouns that take a letter and a full stop: "hepatitis B. Treatment" is no initial.
LETTERED_NOUNS = words(
    "hepatitis vitamin factor protein type group grade stage class influenza section appendix "
    "category figure table plan part phase option step team room unit ward point score version"
)

PLACE_OPENERS = words("north south east west new lake port fort mount upper lower saint st")
PLACE_ENDERS = words("county parish township borough city town")
# A place in front of these is part of a term: "West Nile virus", "New York Heart Association".
THINGS_OF_PLACES = words("virus heart fever spotted encephalitis criteria cognitive stain journal")
