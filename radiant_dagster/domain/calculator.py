"""Safe arithmetic for agents: an expression in, a number out.

Models are bad at long multiplication and good at writing expressions. The expression comes from a
model that read untrusted text, so it is parsed and walked, never evaluated by Python, and every
step is bounded: an answer takes well under a millisecond, whatever was sent.
"""

import ast
import math
import operator
from collections.abc import Callable, Mapping
from typing import Any

from radiant_dagster.domain.tools import ToolError

Number = int | float

MAX_CHARACTERS = 500
MAX_DEPTH = 40
MAX_DIGITS = 300  # of a whole number; floats end at 1.8e308 by themselves
MAX_BITS = 996  # what 300 digits need
MAX_EXPONENT = 1_000
MAX_ROUND_DIGITS = 15  # a float has no more
SIGNIFICANT_DIGITS = 15  # shown: hides 0.1 + 0.2 = 0.30000000000000004

TYPOGRAPHY = str.maketrans({"×": "*", "·": "*", "÷": "/", "−": "-", "–": "-", "\n": " "})
CONSTANTS: Mapping[str, float] = {"pi": math.pi, "e": math.e}
FUNCTIONS: Mapping[str, tuple[Callable[..., Any], int, int]] = {
    # name: (function, fewest arguments, most arguments)
    "abs": (abs, 1, 1),
    "ceil": (math.ceil, 1, 1),
    "cos": (math.cos, 1, 1),
    "exp": (math.exp, 1, 1),
    "floor": (math.floor, 1, 1),
    "log": (math.log, 1, 2),
    "log10": (math.log10, 1, 1),
    "log2": (math.log2, 1, 1),
    "max": (max, 2, 50),
    "min": (min, 2, 50),
    "round": (round, 1, 2),
    "sin": (math.sin, 1, 1),
    "sqrt": (math.sqrt, 1, 1),
    "tan": (math.tan, 1, 1),
}
BINARY: Mapping[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: lambda left, right: left / right,
    ast.FloorDiv: lambda left, right: left // right,
    ast.Mod: operator.mod,
}
USABLE = "Use numbers, + - * / // % **, parentheses, pi, e and: " + ", ".join(FUNCTIONS) + "."


def calculate(expression: str) -> str:
    """Return the value of an arithmetic expression.

    Args:
        expression: For instance ``sqrt(2) * 3``; at most 500 characters.

    Returns:
        Whole numbers exactly, others with 15 significant digits.

    Raises:
        ToolError: Says what is wrong and what can be written instead, for the model.
    """
    if len(expression) > MAX_CHARACTERS:
        raise ToolError(f"The expression is longer than {MAX_CHARACTERS} characters. Split it.")
    try:
        tree = ast.parse(expression.translate(TYPOGRAPHY).strip(), mode="eval")
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        raise ToolError(f"This is no arithmetic expression. {USABLE}") from None
    return _shown(_value(tree.body, 0))


def _value(node: ast.expr, depth: int) -> Number:
    if depth > MAX_DEPTH:
        raise ToolError(f"The expression is nested deeper than {MAX_DEPTH} levels. Split it.")
    match node:
        case ast.Constant(value=int() | float() as number) if not isinstance(number, bool):
            return _bounded(number)
        case ast.Name(id=name) if name in CONSTANTS:
            return CONSTANTS[name]
        case ast.UnaryOp(op=ast.UAdd() | ast.USub() as sign, operand=operand):
            value = _value(operand, depth + 1)
            return -value if isinstance(sign, ast.USub) else value
        case ast.BinOp(left=left, op=op, right=right):
            return _binary(op, _value(left, depth + 1), _value(right, depth + 1))
        case ast.Call(func=ast.Name(id=name), args=arguments, keywords=[]) if name in FUNCTIONS:
            return _call(name, [_value(item, depth + 1) for item in arguments])
        case _:
            raise ToolError(f"Something in the expression cannot be calculated. {USABLE}")


def _binary(op: ast.operator, left: Number, right: Number) -> Number:
    if isinstance(op, ast.Pow):
        return _power(left, right)
    if isinstance(op, ast.BitXor):
        raise ToolError("^ is not a power here. Write ** instead.")
    if type(op) not in BINARY:
        raise ToolError(f"This operator is not known. {USABLE}")
    return _guarded(BINARY[type(op)], left, right)


def _power(base: Number, exponent: Number) -> Number:
    if abs(exponent) > MAX_EXPONENT:
        raise ToolError(f"An exponent is beyond {MAX_EXPONENT}.")
    # Before it is computed: afterwards it would be too late.
    if isinstance(base, int) and isinstance(exponent, int) and _bits(base) * exponent > MAX_BITS:
        raise ToolError(f"The result has more than {MAX_DIGITS} digits.")
    return _guarded(lambda: base**exponent)


def _bits(value: int) -> int:
    return abs(value).bit_length() - 1


def _call(name: str, arguments: list[Number]) -> Number:
    function, fewest, most = FUNCTIONS[name]
    if not fewest <= len(arguments) <= most:
        wanted = str(fewest) if fewest == most else f"{fewest} to {most}"
        raise ToolError(f"{name} takes {wanted} arguments, not {len(arguments)}.")
    if name == "round" and len(arguments) == 2:
        digits = arguments[1]
        if not isinstance(digits, int) or abs(digits) > MAX_ROUND_DIGITS:
            raise ToolError(f"round takes whole digits from -{MAX_ROUND_DIGITS} to 15.")
    return _guarded(function, *arguments)


def _guarded(function: Callable[..., Any], *values: Number) -> Number:
    try:
        result = function(*values)
    except ZeroDivisionError:
        raise ToolError("This divides by zero.") from None
    except OverflowError:
        raise ToolError("A number is too large.") from None
    except ValueError:
        raise ToolError("A function got a value outside of its range, as in sqrt(-1).") from None
    return _bounded(result)


def _bounded(value: Number | complex) -> Number:
    if isinstance(value, complex):
        raise ToolError("The result is not a real number.")
    if isinstance(value, float) and not math.isfinite(value):
        raise ToolError("A number is too large.")
    if isinstance(value, int) and abs(value) >= 10**MAX_DIGITS:
        raise ToolError(f"A number has more than {MAX_DIGITS} digits.")
    return value


def _shown(value: Number) -> str:
    return str(value) if isinstance(value, int) else f"{value:.{SIGNIFICANT_DIGITS}g}"
