"""rename - renameat2(OLD, NEW, FLAGS): its error as Python says it"""
import ctypes
import os
import sys

libc = ctypes.CDLL(None, use_errno=True)
old, new, flags = sys.argv[1:]
if libc.renameat2(-100, old.encode(), -100, new.encode(), int(flags)):
    raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
