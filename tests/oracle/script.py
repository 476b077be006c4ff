# SPDX-License-Identifier: Apache-2.0
"""script.py: all steps, one after the other, on any zram.

What:    run(target) does the same to the kernel's device and to ours. As a program (`script.py
         DEVICE_ID`) it works on a kernel's device and prints one line "STEP <json>" per step, for
         the virtual machine.
"""
import json
import sys

import background_steps
import steps


def run(target, algorithm="lz4", on_step=None):
    """Requires: the target's device has no size, as afterwards. Returns: {step: result}."""
    script = steps.Script(target, on_step)
    steps.words_before_life(script)
    steps.algorithm_parameters(script)
    steps.write_text(target.attribute("reset"), "1")
    steps.sizes(script)
    steps.life(script, algorithm)
    with steps.Disk(target.disk()) as disk:
        for part in (steps.geometry, steps.data, steps.block_counts, steps.discards, steps.cliff,
                     steps.limit):
            part(script, disk)
    steps.end(script)
    steps.other_algorithms(script)
    background_steps.run(script)
    steps.class_words(script)
    return script.results


def main():
    target = steps.Target("/sys/block", "/sys/class/zram-control", int(sys.argv[1]))
    run(target, on_step=lambda name, result: print("STEP", json.dumps([name, result]), flush=True))


if __name__ == "__main__":
    main()
