"""Check the instructions of a pickle without running them.

A pickle is a program for a small stack machine. A dict of arrays needs only a few of its instructions. All others are
rejected here, before Python's unpickler reads the file.
"""

import io
import pickletools
from typing import Any, Dict, List

PROTOCOLS = range(2, 6)
TEXT, NAME, MADE, VALUE, MARK = 'text', 'name', 'made', 'value', 'mark'
"""Kinds of objects on the stack: texts, names of functions or classes, results of their calls, other values, marks."""

PUSHES = {
    **dict.fromkeys(('SHORT_BINUNICODE', 'BINUNICODE'), TEXT),
    **dict.fromkeys(('SHORT_BINBYTES', 'BINBYTES', 'BINBYTES8', 'BYTEARRAY8'), VALUE),
    **dict.fromkeys(('BININT', 'BININT1', 'BININT2', 'NONE', 'NEWTRUE', 'NEWFALSE'), VALUE),
    **dict.fromkeys(('EMPTY_DICT', 'EMPTY_TUPLE'), VALUE),
    'GLOBAL': NAME,
    'MARK': MARK,
}
TUPLES = {'TUPLE1': 1, 'TUPLE2': 2, 'TUPLE3': 3}
PERSISTENT = ('PERSID', 'BINPERSID')


class StateDictError(ValueError):
    """The file is not a MegEngine state dict. The message continues a sentence that starts with the file name."""


class _Machine:
    """The stack and the memo of the machine, with the kind of each object instead of the object.

    The kinds are checked to rule out attacks. Dict keys must be texts, because hashing nested tuples may take forever. Only
    names are called. Only results of calls are given a state, because a state sets attributes.
    """

    def __init__(self) -> None:
        self.stack: List[str] = []
        self.memo: Dict[int, str] = {}

    def step(self, name: str, argument: Any) -> None:
        """Process one instruction.

        Raises:
            StateDictError: If a dict of arrays does not need the instruction.
            LookupError: If the instruction refers to a missing object.
            ValueError: If the instruction takes more objects than there are.
        """
        if name in PUSHES:
            self.stack.append(PUSHES[name])
        elif name in TUPLES:
            self._take(TUPLES[name])
            self.stack.append(VALUE)
        elif name == 'TUPLE':
            self._take_to_mark()
            self.stack.append(VALUE)
        elif name == 'STACK_GLOBAL':
            self._expect(self._take(2), [TEXT, TEXT])
            self.stack.append(NAME)
        elif name == 'REDUCE':
            self._expect(self._take(2)[:1], [NAME])
            self.stack.append(MADE)
        elif name == 'BUILD':
            self._take(1)
            self._expect(self.stack[-1:], [MADE])
        elif name in ('SETITEM', 'SETITEMS'):
            items = self._take(2) if name == 'SETITEM' else self._take_to_mark()
            self._expect(items[::2], [TEXT] * (len(items) // 2))
        elif name in ('BINPUT', 'LONG_BINPUT', 'MEMOIZE'):
            index = len(self.memo) if name == 'MEMOIZE' else argument
            # Python allocates a table of the size of the index.
            if index > len(self.memo):
                raise ValueError(f'object {index} follows object {len(self.memo)}')
            self.memo[index] = self.stack[-1]
        elif name in ('BINGET', 'LONG_BINGET'):
            self.stack.append(self.memo[argument])
        elif name not in ('PROTO', 'FRAME', 'STOP'):
            raise StateDictError(
                f'is damaged or hostile: it has the instruction {name}, which no MegEngine file has. '
                'Download it again from a source that you trust.'
            )

    def _take(self, number: int) -> List[str]:
        taken = self.stack[-number:]
        if len(taken) < number:
            raise ValueError('the stack is empty')
        del self.stack[-number:]
        return taken

    def _take_to_mark(self) -> List[str]:
        mark = len(self.stack) - 1 - self.stack[::-1].index(MARK)
        taken = self.stack[mark + 1 :]
        del self.stack[mark:]
        return taken

    @staticmethod
    def _expect(found: List[str], expected: List[str]) -> None:
        if found != expected:
            raise StateDictError(
                'is damaged or hostile: its structure is not that of a dict of arrays. Download it again from a source '
                'that you trust.'
            )


def check_program(data: bytes) -> None:
    """Check the instructions of a pickle.

    Args:
        data: The content of the file.

    Raises:
        StateDictError: If a dict of arrays does not need an instruction, or the file is truncated or has extra bytes.
    """
    stream = io.BytesIO(data)
    machine = _Machine()
    number = 0
    try:
        for number, (opcode, argument, _) in enumerate(pickletools.genops(stream), start=1):
            if number == 1 and (opcode.name != 'PROTO' or argument not in PROTOCOLS):
                raise StateDictError(_not_a_pickle(data))
            if opcode.name in PERSISTENT:
                raise StateDictError(
                    'refers to objects outside the file (persistent ids), like files of old PyTorch versions. '
                    'MegEngine files never do. This tool reads MegEngine files only.'
                )
            machine.step(opcode.name, argument)
    except StateDictError:
        raise
    except (ValueError, LookupError) as error:
        if not number:
            raise StateDictError(_not_a_pickle(data)) from error
        raise StateDictError(
            f'is damaged or cut off after {len(data)} bytes (instruction {number + 1}: {str(error)[:100]}). Download or copy it again.'
        ) from error
    rest = len(data) - stream.tell()
    if rest:
        raise StateDictError(f'has {rest} extra bytes after its end. Download or copy it again.')


def _not_a_pickle(data: bytes) -> str:
    hint = ''
    if data.startswith(b'PK'):
        hint = (
            ' It may be a PyTorch checkpoint: torch_to_mm.py converts the FReLU weights of a port; init_cfg or load_from '
            'load OpenMMLab checkpoints without conversion.'
        )
    return (
        f'is not a MegEngine file: it starts with {data[:12]!r}; expected a pickle of protocol 2 to 5.{hint} '
        'Give the file that megengine.save wrote.'
    )
