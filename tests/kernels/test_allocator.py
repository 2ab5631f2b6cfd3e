"""keep_pages keeps freed memory in the process, and can be switched off."""

import os
import platform
import subprocess
import sys

import pytest

FAULTS = """
import resource, sys, torch
from shinso.kernels.allocator import keep_pages
kept = keep_pages()
def work():
    for _ in range(10):
        torch.empty(12_000_000).fill_(1)
work()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
work()
print(kept, resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(**environment):
    output = subprocess.run([sys.executable, "-c", FAULTS], env={**os.environ, **environment}, check=True,
                            capture_output=True, text=True).stdout.split()
    return output[0] == "True", int(output[1])


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="a setting of glibc")
def test_large_tensors_cause_few_page_faults():
    kept, few = faults()
    default, many = faults(SHINSO_ALLOCATOR="default")
    assert kept and not default
    assert few * 10 < many
