"""Decides whether digits can be the identifier their shape suggests: check digits and ranges.

A check digit turns a guess into knowledge, so these raise precision on numbers without a label.
Sources are named at each function. Pure arithmetic on short strings.
"""

import re

_VIN_VALUES = {
    c: int(v) for c, v in zip("ABCDEFGHJKLMNPRSTUVWXYZ", "12345678123457923456789", strict=True)
}
_VIN_WEIGHTS = (8, 7, 6, 5, 4, 3, 2, 10, 0, 9, 8, 7, 6, 5, 4, 3, 2)


def digits(value: str) -> str:
    """Return the ASCII digits of a value."""
    return re.sub(r"[^0-9]", "", value)


def luhn(value: str) -> bool:
    """Check the last digit of a number by ISO/IEC 7812-1 annex B (Luhn)."""
    number = digits(value)
    total = 0
    for index, digit in enumerate(reversed(number)):
        doubled = int(digit) * (2 if index % 2 else 1)
        total += doubled - 9 if doubled > 9 else doubled
    return bool(number) and total % 10 == 0


def payment_card(value: str) -> bool:
    """Tell whether 12 to 19 digits are a card number: an issuer's first digit and Luhn."""
    number = digits(value)
    return 12 <= len(number) <= 19 and number[0] in "123456" and _varied(number) and luhn(number)


def npi(value: str) -> bool:
    """Check a US National Provider Identifier: Luhn over the prefix 80840 (45 CFR 162.406)."""
    number = digits(value)
    return len(number) == 10 and number[0] in "12" and luhn("80840" + number)


def dea(value: str) -> bool:
    """Check a US DEA registration number: two letters, six digits and a check digit."""
    number = digits(value)
    if len(number) != 7:
        return False
    n = [int(c) for c in number]
    return (n[0] + n[2] + n[4] + 2 * (n[1] + n[3] + n[5])) % 10 == n[6]


def vin(value: str) -> bool:
    """Check position 9 of a vehicle identification number (49 CFR 565.15)."""
    number = value.upper()
    if len(number) != 17 or number.isalpha() or number.isdigit():
        return False
    total = 0
    for character, weight in zip(number, _VIN_WEIGHTS, strict=True):
        value_of = int(character) if character.isdigit() else _VIN_VALUES.get(character)
        if value_of is None:
            return False
        total += value_of * weight
    remainder = total % 11
    return number[8] == ("X" if remainder == 10 else str(remainder))


def iban(value: str) -> bool:
    """Check an International Bank Account Number: ISO 13616, remainder 1 modulo 97."""
    compact = re.sub(r"[^0-9A-Za-z]", "", value).upper()
    if not 15 <= len(compact) <= 34:
        return False
    turned = compact[4:] + compact[:4]
    return int("".join(str(int(c, 36)) for c in turned)) % 97 == 1


def ssn(value: str) -> bool:
    """Tell whether nine digits could be a US social security or taxpayer number.

    Area 000 and 666, group 00 and serial 0000 were never issued. Areas from 900 are taxpayer
    numbers, which identify a person as well.
    """
    number = digits(value)
    return (
        len(number) == 9
        and number[:3] not in ("000", "666")
        and number[3:5] != "00"
        and number[5:] != "0000"
    )


def ipv4(value: str) -> bool:
    """Tell whether four dotted numbers are each at most 255."""
    return all(int(part) <= 255 for part in value.split("."))


def ipv6(value: str) -> bool:
    """Tell whether colon groups form an IPv6 address rather than a clock time."""
    groups = value.split(":")
    filled = [g for g in groups if g]
    if "::" in value:
        return len(filled) <= 7 and len(filled) >= 2 and not value.replace(":", "").isdigit()
    return len(groups) == 8


def _varied(number: str) -> bool:
    return len(set(number)) > 1
