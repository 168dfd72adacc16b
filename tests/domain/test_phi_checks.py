"""Check digits: known numbers pass, one changed digit does not."""

import pytest

from radiant_dagster.domain import phi_checks as check

KNOWN = [
    (check.luhn, "4539 1488 0343 6467"),
    (check.payment_card, "378282246310005"),
    (check.npi, "1234567893"),
    (check.dea, "AB1234563"),
    (check.vin, "1M8GDM9AXKP042788"),
    (check.iban, "GB82 WEST 1234 5698 7654 32"),
]


@pytest.mark.parametrize(("accepts", "number"), KNOWN)
def test_a_published_example_is_accepted(accepts, number: str) -> None:
    assert accepts(number)


@pytest.mark.parametrize(("accepts", "number"), KNOWN)
def test_any_single_changed_digit_is_refused(accepts, number: str) -> None:
    changed = [
        number[:i] + str((int(c) + 1) % 10) + number[i + 1 :]
        for i, c in enumerate(number)
        if c.isdigit()
    ]

    accepted = [candidate for candidate in changed if accepts(candidate)]

    # A VIN's transliteration lets letters and digits collide, never one digit with the next.
    assert accepted == []


@pytest.mark.parametrize("number", ["000-12-3456", "666-12-3456", "123-00-4567", "123-45-0000"])
def test_a_number_that_was_never_issued_is_no_ssn(number: str) -> None:
    assert not check.ssn(number)


@pytest.mark.parametrize("value", ["256.1.1.1", "1.2.3.999"])
def test_a_byte_above_255_is_no_address(value: str) -> None:
    assert not check.ipv4(value)


@pytest.mark.parametrize(("value", "accepted"), [("10:30:15", False), ("fe80::1ff:fe23", True)])
def test_a_clock_time_is_no_ipv6_address(value: str, accepted: bool) -> None:
    assert check.ipv6(value) is accepted
