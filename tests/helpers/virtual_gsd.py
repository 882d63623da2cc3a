"""The command gsd with a CUDA device that is none, as a program: python virtual_gsd.py ARGUMENTS."""

import os

os.environ["TRITON_INTERPRET"] = "1"  # before triton is first imported

from virtual_cuda import virtual_cuda

from gsd.__main__ import main

if __name__ == "__main__":
    with virtual_cuda():
        main()
