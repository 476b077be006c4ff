# SPDX-License-Identifier: Apache-2.0
"""Finds the functions of a C++ file and their lengths, without a compiler.

A brace opens a function when it stands after a parameter list in a namespace or a class; braces
inside functions (blocks, lambdas, initialisers) belong to the function around them. Comments,
strings and directives are blanked first. Good enough for code that clang-format has laid out.
"""
import dataclasses
import re

_NOISE = re.compile(
    r'//[^\n]*|/\*.*?\*/|R"([^()\s\\]*)\(.*?\)\1"|"(?:\\.|[^"\\\n])*"'
    r"|(?<![0-9a-fA-F])'(?:\\.|[^'\\\n])+'|^[ \t]*#(?:[^\n\\]|\\.)*(?:\\\n(?:[^\n\\]|\\.)*)*",
    re.S | re.M)
_ACCESS_LABELS = re.compile(r"(?:\s*(?:public|private|protected)\s*:)*\s*")
_SCOPE_HEAD = re.compile(
    r'^(?:inline\s+)?(?:namespace\b|extern\s*"?)|^(?:template\s*<.*>\s*)?'
    r"(?:typedef\s+)?(?:class|struct|union|enum)\b", re.S)


@dataclasses.dataclass(frozen=True)
class Function:
    name: str
    first_line: int
    line_count: int


def blank(text):
    """The text with comments, strings and directives as spaces; lines stay where they are."""
    return _NOISE.sub(lambda match: re.sub(r"[^\n]", " ", match.group()), text)


def _is_scope(head):
    is_function = re.search(r"\)\s*(const\b|noexcept\b|override\b|->|$)", head)
    return bool(_SCOPE_HEAD.match(head)) and not is_function


def _function_name(head):
    match = re.search(r"([~\w:]+|operator\s*\S+)\s*\(", head)
    return match.group(1) if match else None


def functions(text):
    """Every function definition: from its opening line to its closing brace."""
    text = blank(text)
    found, stack = [], []  # stack: None for a namespace or a class, else what opened there.
    head_start, line = 0, 1
    for index, character in enumerate(text):
        if character == "\n":
            line += 1
        elif character == "{":
            inside = any(stack)
            label = _ACCESS_LABELS.match(text, head_start, index)
            head = text[label.end():index].strip()
            if inside:
                stack.append(("inner", 0))
            elif re.match(r"[\w>\]]", text[index - 1]):
                stack.append(("value", 0))  # member_{1}: clang-format sets a space before a body.
            elif _is_scope(head):
                stack.append(None)
            elif _function_name(head) and "=" not in head.split("(")[0].replace("operator", ""):
                stack.append((_function_name(head), text.count("\n", 0, label.end()) + 1))
            else:
                stack.append(("value", 0))
            if not inside and (not stack[-1] or stack[-1][1]):
                head_start = index + 1
        elif character == "}" and stack:
            opened = stack.pop()
            if opened and opened[1] and not any(stack):
                found.append(Function(opened[0], opened[1], line - opened[1] + 1))
            if not opened or opened[1]:
                head_start = index + 1
        elif character == ";" and not any(stack):
            head_start = index + 1
    return found
