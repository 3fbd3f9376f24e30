"""Tokens -> one tree for each side of the formula, by precedence climbing.

Takes the text; gives the trees left and right of ``~``. The precedence is R's; nothing
is expanded or checked for meaning here.
"""

import math
from collections.abc import Collection
from dataclasses import replace

from bayeslmm.formula.lexer import ParseError, Token, tokenize
from bayeslmm.formula.nodes import (
    PRECEDENCE,
    RESERVED,
    UNARY_PRECEDENCE,
    Bar,
    Binary,
    Call,
    Constant,
    Name,
    Node,
    Number,
    String,
    Unary,
)

# Words that are constants unless a column of the data has the name, as in R.
YIELDING = ("pi", "True", "False")


def parse_sides(text: str, columns: Collection[object] = ()) -> tuple[Node, Node]:
    """Trees of the response and of the right-hand side.

    A column of the data wins over a constant of its name.
    """
    tokens = _tokens(text, columns)
    tildes = [i for i, token in enumerate(tokens) if _is_operator(token, "~")]
    _check_tildes(tokens, tildes)
    split = tildes[0]
    end = Token("end", "", tokens[split].position)
    left, right = [*tokens[:split], end], tokens[split + 1 :]
    if right[0].kind == "end":
        message = "There is nothing right of '~'. Write terms, as in y ~ x + (1 | g)."
        raise ParseError(message, tokens[split].position)
    return _Parser(left).parse(), _Parser(right).parse()


def _tokens(text: str, columns: Collection[object]) -> list[Token]:
    """The tokens, a column of the data in the place of a constant of its name."""
    return [
        replace(token, kind="quoted")
        if token.kind == "name" and token.text in YIELDING and token.text in columns
        else token
        for token in tokenize(text)
    ]


def parse_expression(text: str, columns: Collection[object] = ()) -> Node:
    """The tree of a text without sides, as the argument ``residual=`` has it."""
    tokens = _tokens(text, columns)
    return _Parser(tokens).parse()


def _check_tildes(tokens: list[Token], tildes: list[int]) -> None:
    """Exactly one ``~``, with a response before it."""
    if not tildes:
        equal = [token for token in tokens if _is_operator(token, "=")]
        found = "has '=' where '~' belongs" if equal else "has no '~'"
        message = (
            f"The formula {found}, so response and predictors cannot be told apart. "
            "Write response ~ predictors + (1 | group)."
        )
        raise ParseError(message, equal[0].position if equal else tokens[-1].position)
    if len(tildes) > 1:
        message = "The formula has two '~'. Keep the one after the response."
        raise ParseError(message, tokens[tildes[1]].position)
    if tildes[0] == 0:
        message = (
            "The formula has no response: nothing stands left of '~'. Write "
            "response ~ predictors + (1 | group)."
        )
        raise ParseError(message, tokens[0].position)


def _is_operator(token: Token, text: str) -> bool:
    """Whether a token is the given operator (a back-quoted name never is)."""
    return token.kind == "operator" and token.text == text


class _Parser:
    """Reads one side of a formula, token by token."""

    def __init__(self, tokens: list[Token]):
        self.tokens, self.index = tokens, 0

    def parse(self) -> Node:
        """The whole side as one tree."""
        tree = self.expression(0)
        token = self.peek()
        if token.kind != "end":
            raise ParseError(_stray(token), token.position)
        return tree

    def peek(self, ahead: int = 0) -> Token:
        """A token without consuming it."""
        return self.tokens[min(self.index + ahead, len(self.tokens) - 1)]

    def next(self) -> Token:
        """The next token, consumed."""
        token = self.peek()
        self.index += 1
        return token

    def expression(self, level: int) -> Node:
        """An expression of operators that bind at least as tightly as `level`."""
        left = self.operand()
        while True:
            token = self.peek()
            self.check_operator(token)
            own = PRECEDENCE.get(token.text, -1) if token.kind == "operator" else -1
            if own < max(level, 0):
                return left
            self.next()
            right = self.expression(own if token.text == "^" else own + 1)
            left = _join(token, left, right)

    def operand(self) -> Node:
        """A name, constant, call, bracket or signed operand."""
        token = self.next()
        match token.kind:
            case "name" if _is_operator(self.peek(), "("):
                return self.call(token)
            case "name":
                return _name(token)
            case "quoted":
                return Name(token.text, token.position)
            case "number":
                return _number(token)
            case "string":
                return String(token.text, token.position)
        if token.text in ("+", "-") and token.kind == "operator":
            # R lets a sign stand where only a tighter operator may follow: 2^-1.
            operand = self.expression(UNARY_PRECEDENCE)
            return Unary(token.text, operand, token.position)
        if _is_operator(token, "("):
            return self.bracket()
        raise ParseError(self.missing_operand(token), token.position)

    def bracket(self) -> Node:
        """What stands in round brackets; a bar term knows that it does."""
        inner = self.expression(0)
        token = self.next()
        if not _is_operator(token, ")"):
            raise ParseError(_stray(token), token.position)
        return replace(inner, enclosed=True) if isinstance(inner, Bar) else inner

    def call(self, function: Token) -> Call:
        """A call with its positional and keyword arguments."""
        self.next()
        args: list[Node] = []
        keywords: list[tuple[str, Node]] = []
        while not _is_operator(self.peek(), ")"):
            named = self.peek().kind == "name" and _is_operator(self.peek(1), "=")
            if named:
                key = self.next().text
                self.next()
                keywords.append((key, self.expression(0)))
            elif keywords:
                message = "Named arguments come after the others."
                raise ParseError(message, self.peek().position)
            else:
                args.append(self.expression(0))
            if not _is_operator(self.peek(), ","):
                break
            self.next()
        token = self.next()
        if not _is_operator(token, ")"):
            raise ParseError(_stray(token), token.position)
        return Call(function.text, tuple(args), tuple(keywords), function.position)

    def check_operator(self, token: Token) -> None:
        """Refuse two operands in a row, and operators that R has and we have not."""
        if token.kind in ("name", "quoted", "number", "string") or (
            _is_operator(token, "(")
        ):
            raise ParseError(self.adjacent(token), token.position)
        if token.text == "%in%":
            message = (
                "'%in%' is not supported. For b nested in a write a/b, which is "
                "a + a:b, or the interaction a:b alone."
            )
            raise ParseError(message, token.position)
        if token.kind == "operator" and token.text == "::":
            message = "'::' is not part of a formula. Name the function alone."
            raise ParseError(message, token.position)
        unknown = token.text.startswith("%") and token.text not in PRECEDENCE
        if token.kind == "operator" and unknown:
            raise ParseError(f"The operator {token.text!r} is unknown.", token.position)

    def adjacent(self, token: Token) -> str:
        """Message for an operand where an operator should be."""
        before = self.tokens[self.index - 1]
        if before.text == "lambda":
            return "A formula runs no code, so it has no lambda. Prepare a column."
        return (
            f"An operator is missing between {before.text!r} and {token.text!r}. "
            "Write '+', '*', ':' or '|' between them; back-quote a column whose name "
            "has spaces: `my column`."
        )

    def missing_operand(self, token: Token) -> str:
        """Message for anything else where an operand should be."""
        before = self.tokens[self.index - 2] if self.index > 1 else None
        if token.text in ("|", "||"):
            return (
                f"Nothing stands left of '{token.text}'. Write what varies between "
                "groups: (1 | g) for the intercept, (x | g) for a slope too."
            )
        if before is not None and before.text in ("|", "||"):
            return (
                f"No grouping factor stands right of '{before.text}'. Write its "
                "column: (1 | g)."
            )
        if before is not None and before.text in ("(", ",") and token.text in "),":
            return "There is nothing in this bracket where a term should be."
        if token.kind == "end" or token.text in (")", ","):
            found = "The formula ends" if token.kind == "end" else "A bracket ends"
            if token.text == ",":
                found = "A comma comes"
            after = f" after '{before.text}'" if before is not None else ""
            return (
                f"{found}{after} where a term should be. Add it or drop the operator."
            )
        return f"'{token.text}' has nothing on its left. Write a term before it."


def _join(token: Token, left: Node, right: Node) -> Node:
    """The node of an infix operator."""
    if token.text in ("|", "||"):
        return Bar(left, right, token.text == "||", False, token.position)
    return Binary(token.text, left, right, token.position)


def _name(token: Token) -> Node:
    """A constant if the word is reserved, else a column."""
    if token.text in RESERVED:
        return Constant(RESERVED[token.text], token.position)
    if token.text == "pi":
        return Number(math.pi, token.position)
    if token.text == ".":
        message = (
            "'.' would take all other columns, grouping factors too. Name the columns; "
            "one that is called so stands in back-quotes, `.`."
        )
        raise ParseError(message, token.position)
    return Name(token.text, token.position)


def _number(token: Token) -> Number:
    """A number that a double can hold: within its range, and whole ones exactly."""
    value = float(token.text)
    digits = token.text.lower().split("e")[0].replace(".", "")
    if math.isinf(value):
        lost = "is beyond 1.8e308"
    elif value == 0.0 and digits.strip("0"):
        lost = "is closer to 0 than 4.9e-324"
    elif token.text.isdecimal() and int(token.text) != value:
        lost = "has more digits than the 15 that are kept of any number"
    else:
        return Number(value, token.position)
    message = (
        f"{token.text} {lost}: a floating-point number cannot hold it. Rescale the "
        f"column, or compute what you need as a column of the data."
    )
    raise ParseError(message, token.position)


def _stray(token: Token) -> str:
    """Message for punctuation where an operator or the end should be."""
    if token.text == "=":
        return "'=' is not part of a formula here. Compare with '==' inside I()."
    if token.text == ",":
        return "A comma separates arguments of a function only. Write '+' for terms."
    return f"{token.text!r} cannot stand here."
