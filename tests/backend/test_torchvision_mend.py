"""torchvision has to load whether its compiled operators do or not; all tests of priors import it so."""

import subprocess
import sys


def _python(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


def test_torchvision_loads_after_mending():
    code = (
        "from gsd.backend.torchvision_mend import mend_torchvision; mend_torchvision(); mend_torchvision()\n"
        "import torch\n"
        "from torchvision.transforms.functional import resize\n"
        "assert resize(torch.rand(3, 8, 8), [4, 4]).shape == (3, 4, 4)"
    )
    done = _python(code)
    assert done.returncode == 0, done.stderr


def test_other_failures_are_not_hidden():
    code = (
        "import sys, types\n"
        "class Broken:\n"
        "    def find_spec(self, name, *rest):\n"
        "        if name == 'torchvision': raise RuntimeError('disk on fire')\n"
        "sys.meta_path.insert(0, Broken())\n"
        "from gsd.backend.torchvision_mend import mend_torchvision; mend_torchvision()"
    )
    done = _python(code)
    assert done.returncode != 0
    assert "disk on fire" in done.stderr


def test_a_machine_without_torchvision_is_left_alone():
    code = (
        "import sys; sys.modules['torchvision'] = None\n"
        "from gsd.backend.torchvision_mend import mend_torchvision; mend_torchvision()\n"
        "import torch; assert not hasattr(torch.ops.torchvision, 'nms')"
    )
    done = _python(code)
    assert done.returncode == 0, done.stderr
