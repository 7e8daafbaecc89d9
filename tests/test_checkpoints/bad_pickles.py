"""Pickles that no converter should open: hostile ones, and states that only look like one of weights."""

import functools
import io
import os
import pickle
import subprocess
from collections import Counter, OrderedDict

import numpy as np

ARRAY = np.arange(6, dtype=np.float32).reshape(2, 3)


class Calls:
    """Pickles as the call of a function."""

    def __init__(self, function, *args):
        self.function, self.args = function, args

    def __reduce__(self):
        return self.function, self.args


def attacks(marker):
    """Objects that would run code, or that weights do not need. A file called ``marker`` shows that code ran."""
    command = f'touch {marker}'
    return {
        'system': Calls(os.system, command),
        'popen': Calls(subprocess.Popen, ['touch', str(marker)]),
        'eval': Calls(eval, f'open({str(marker)!r}, "w")'),
        'exec': Calls(exec, f'open({str(marker)!r}, "w")'),
        'open': Calls(open, str(marker), 'w'),
        'getattr': Calls(getattr, os.system, '__call__'),
        'import': Calls(__import__, 'antigravity'),
        'loads': Calls(pickle.loads, pickle.dumps(Calls(os.system, command))),
        'numpy load': Calls(np.load, str(marker)),
        'numpy fromfile': Calls(np.fromfile, str(marker)),
        'numpy number': np.float32(1),
        'partial': functools.partial(os.system, command),
        'counter': Counter('aab'),
        'set': {1, 2},
        'object array': np.array([Calls(os.system, command)], dtype=object),
        'records': np.zeros(3, dtype=[('a', 'f4')]),
        'texts': np.array(['a', 'b']),
        'dates': np.array(['2020-07-20'], dtype='datetime64[D]'),
        'integers': np.arange(3),
        'booleans': np.array([True]),
        'complex': np.ones(2, dtype=np.complex64),
        'subclass': np.ma.masked_array([1.0], mask=[True]),
        'no sides': np.array(1, dtype=np.float32),
        'no numbers': np.zeros((0, 3), dtype=np.float32),
        'six sides': np.zeros((1,) * 6, dtype=np.float32),
        'list': [ARRAY],
        'number': 1.5,
        'nothing': None,
        'dict': dict(weight=ARRAY),
        'text': 'weight',
    }


def twice(names):
    """An OrderedDict that is pickled with these names, repetitions included."""

    class Repeating(OrderedDict):
        def __reduce__(self):
            return OrderedDict, (), None, None, iter([(name, ARRAY.copy()) for name in names])

    return Repeating()


def with_persistent_id(protocol):
    """As old PyTorch keeps its storages."""

    class Pickler(pickle.Pickler):
        def persistent_id(self, value):
            return 'storage' if isinstance(value, np.ndarray) else None

    stream = io.BytesIO()
    Pickler(stream, protocol).dump(OrderedDict(weight=ARRAY))
    return stream.getvalue()


def text(value):
    return b'X' + len(value).to_bytes(4, 'little') + value.encode()


def programs():
    """Written instruction by instruction."""
    head = b'\x80\x02'
    nested = b')q\x00' + b''.join(b'h%ch%c\x86q%c' % (i, i, i + 1) for i in range(60))
    weight = text('weight')
    shape = b'cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85c_codecs\nencode\n'
    shape += text('b') + text('latin1') + b'\x86R\x87R'
    dtype = b'cnumpy\ndtype\n' + text('f4') + b'\x85R'
    return {
        'extension': head + b'\x82\x01.',
        'old instance': head + b'(ios\nsystem\n.',
        'old object': head + b'(cos\nsystem\n' + text('true') + b'o.',
        'new object': head + b'cos\nsystem\n)\x81.',
        'new object of a dict': head + b'ccollections\nOrderedDict\n)\x81.',
        'dotted name': b'\x80\x04' + b'\x8c\x05numpy' + b'\x8c\x11ndarray.__class__' + b'\x93.',
        'dict attribute': head + b'ccollections\nOrderedDict\n)R}' + weight + b'K\x01sb.',
        'class attribute': head + b'cnumpy\nndarray\n}' + weight + b'K\x01sb.',
        'class slot': head + b'cnumpy\nndarray\nN}' + weight + b'K\x01s\x86b.',
        'ordered from list': head + b'ccollections\nOrderedDict\n]\x85R.',
        'ndarray itself': head + b'cnumpy\nndarray\nK\x01\x85\x85R.',
        'dtype of a tuple': head + b'cnumpy\ndtype\n' + nested + b'\x85R.',
        'a call of a call': head + b'ccollections\nOrderedDict\n)R)R.',
        'key of tuples': head + b'}' + nested + b'K\x01s.',
        'shape of tuples': head + b'}' + weight + shape + b'(K\x01' + nested + dtype + b'\x89Ntbs.',
        'shape below zero': head
        + b'}'
        + weight
        + shape
        + b'(K\x01J\xff\xff\xff\xffJ\xff\xff\xff\xff\x86'
        + dtype
        + b'\x89Ntbs.',
        'memo of 4 GB': head + b'}r\xff\xff\xff\xff.',
        'bytes of 4 GB': head + b'B\xff\xff\xff\xff.',
        'bytes of 16 EB': b'\x80\x04\x8e' + b'\xff' * 8 + b'.',
        'bytearray of 8 EB': b'\x80\x05\x96' + b'\xff' * 7 + b'\x7f.',
        'frame of 16 EB': b'\x80\x04\x95' + b'\xff' * 8 + b'}.',
        'empty stack': head + b'R.',
        'no mark': head + b't.',
        'nothing left': head + b'.',
        'two left': head + b'}}.',
        'unknown memo': head + b'h\x07.',
        'unknown instruction': head + b'\xff.',
        'protocol 9': b'\x80\x09}.',
        'no end': head + b'}',
        'extra bytes after': head + b'}.}.',
        'one text many times': head
        + b'('
        + text('x' * 1000)
        + b'q\x000'
        + b'c_codecs\nencode\nh\x00' * 1
        + text('latin1')
        + b'\x86R.',
        'unpacks to more': head
        + text('x' * 1000)
        + b'q\x00'
        + text('latin1')
        + b'q\x01\x86'
        + b'c_codecs\nencode\nh\x00h\x01\x86R' * 50
        + b'.',
    }
