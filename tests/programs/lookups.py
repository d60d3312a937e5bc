"""Look-ups in a dict, each value the next key. The interpreter's own loads are many times as many as the dict's.

lookups.py ELEMENTS LOOKUPS
"""

import ctypes
import sys

PAGE = 0x0A0000000000
libc = ctypes.CDLL(None)
libc.mmap.restype = ctypes.c_void_p
libc.mmap(ctypes.c_void_p(PAGE), ctypes.c_size_t(4096), 3, 0x32, -1, ctypes.c_long(0))  # private, anonymous, fixed


def mark(offset: int) -> None:
    ctypes.c_uint64.from_address(PAGE + offset).value = 1


elements, lookups = int(sys.argv[1]), int(sys.argv[2])
table = {i: i * 7919 % elements for i in range(elements)}
key = 1
mark(0x00)
for _ in range(lookups):
    key = table[key]
mark(0x40)
print("check", key)
