"""What may stand in a file of heuristics: which lines are read, and what is said of the others."""

import json

from radiant_dagster.domain.heuristic_files import MAX_LINES, parse

LINE = json.dumps({
    "polarity": "do", "domain": "general", "trigger_pattern": "When", "action_template": "Do",
})  # fmt: skip


def test_a_line_ends_at_its_line_feed_and_nowhere_else() -> None:
    text = f'{LINE[:-1]}, "state": "a\u2028b\u0085c"}}\r\n\n{LINE}\n'

    lines, faults = parse(text)

    assert (list(lines), faults) == ([1, 3], [])
    assert lines[1].state == "a\u2028b\u0085c"


def test_of_a_file_with_too_many_lines_none_is_read() -> None:
    good, _ = parse(f"{LINE}\n" * MAX_LINES)
    lines, faults = parse("{}\n" * (MAX_LINES + 5))

    assert len(good) == MAX_LINES
    assert lines == {}
    assert [fault.line for fault in faults] == [MAX_LINES + 1]
    assert "10,000" in faults[0].text
