"""What is expected of each case, in expected.json. DIR holds what the run leaves behind. For the
Python of the suite's environment.

    expected.py spec DIR [PATTERN ...]      write spec.json, which tells the suite what to run
    expected.py compare DIR [PATTERN ...]   list how the suite's report differs; exit 1 if it does
    expected.py accept DIR [PATTERN ...]    let expected.json say what the report says
"""
import fnmatch
import json
import pathlib
import sys

EXPECTED = pathlib.Path(__file__).with_name("expected.json")
# Best first; INFORMATIONAL is no judgement.
RANKS = ["OK", "INFORMATIONAL", "NON-STRICT", "UNIMPLEMENTED", "WRONG CODE", "UNCLEAN", "FAILED BY CLIENT", "FAILED"]


def number(case):
    return [int(part) for part in case.split(".")]


def read_expected():
    return json.loads(EXPECTED.read_text()) if EXPECTED.exists() else {}


def read_report(out):
    (cases,) = json.loads((out / "index.json").read_text()).values()
    return {case: [result["behavior"], result["behaviorClose"]] for case, result in cases.items()}


def matching(cases, patterns):
    return [case for case in cases if not patterns or any(fnmatch.fnmatch(case, p) for p in patterns)]


def spec(out, patterns):
    from autobahntestsuite.case import Cases

    with (out / "server.log").open() as log:
        listening = json.loads(log.readline())
    assert listening["message"] == "listening", listening
    server = {"agent": "echobeat", "url": listening["websocket"]}
    every = [case.__name__.removeprefix("Case").replace("_", ".") for case in Cases]
    for pattern in patterns:
        if not matching(every, [pattern]):
            sys.exit(f"no case matches {pattern}")
    # One by one, for the suite has its own idea of patterns.
    cases = matching(every, patterns)
    spec = {"outdir": str(out), "servers": [server], "cases": cases, "exclude-cases": [], "exclude-agent-cases": {}}
    (out / "spec.json").write_text(json.dumps(spec))


def compare(out, patterns):
    expected, report = read_expected(), read_report(out)
    differences = []
    for case in sorted({*matching(expected, patterns), *report}, key=number):
        if case not in report:
            differences.append(f"{case}: missing, it did not run")
        elif case not in expected:
            differences.append(f"{case}: surplus, {' / '.join(report[case])}")
        else:
            for what, was, now in zip(("behavior", "behaviorClose"), expected[case], report[case]):
                if was != now:
                    trend = "worse" if RANKS.index(now) > RANKS.index(was) else "better"
                    differences.append(f"{case}: {trend}, {what} is {now} instead of {was}")
    if differences:
        print(*differences, sep="\n")
        sys.exit(f"Differences from {EXPECTED.name}: {len(differences)}; the suite says why in {out / 'index.html'}")
    print(f"Cases, all as in {EXPECTED.name}: {len(report)}")


def accept(out, patterns):
    report = read_report(out)
    expected = read_expected()
    for case in matching(expected, patterns):
        del expected[case]
    expected.update(report)
    lines = [f"  {json.dumps(case)}: {json.dumps(expected[case])}" for case in sorted(expected, key=number)]
    EXPECTED.write_text("{\n" + ",\n".join(lines) + "\n}\n")
    print(f"Cases, written to {EXPECTED.name}: {len(report)}")


if __name__ == "__main__":
    verb, out, *patterns = sys.argv[1:]
    {"spec": spec, "compare": compare, "accept": accept}[verb](pathlib.Path(out), patterns)
