"""Port the installed PyPI packages autobahntestsuite 25.10.1 and autobahn 0.10.9
(Python 2 code) to Python 3, in place, inside a venv made by setup.sh.

    port.py SITE_PACKAGES

Three steps:
  1. lib2to3 with a short list of fixers (print, except, raise, has_key, xrange,
     octal literals, implicit relative imports);
  2. case/*.py: every string literal that ends up on the wire (or is compared
     with what came over the wire) becomes a bytes literal; chosen by its place
     in the syntax tree, not by hand;
  3. a list of literal replacements. Each says how often its text must occur, so
     any other version of the packages stops the port instead of half-porting.
No scoring rule, expectation, timeout or size is changed by any step.
"""
import ast
import hashlib
import pathlib
import re
import sys
import warnings

warnings.filterwarnings("ignore", category=DeprecationWarning)
from lib2to3.refactor import RefactoringTool  # noqa: E402

FIXERS = ["print", "except", "raise", "has_key", "xrange", "numliterals", "import", "execfile"]

# sha256 of the untouched files that carry the scoring; a changed upstream stops here
PRISTINE = {
    "autobahntestsuite/fuzzing.py": "3bbb21786744023f1c215763a0aa66ab5db543e1826a1ae22b52d7f2876d8d1a",
    "autobahntestsuite/case/case.py": "b62db7318df8a9681bb6afa951bc0377106861f5eaf9cadde14662346d2fb507",
    "autobahntestsuite/case/case12_x_x.py": "c4a07603978c99fd4eb4d3990feed74266bfd40ffa5f65c8990fca6120564a04",
    "autobahn/websocket/protocol.py": "9ebdeffe3f8b9aa2231ca2e2e2cd374192eb90a9a8904b4a7d07b68a0a0d4d2c",
}


def die(msg):
    sys.exit("port.py: " + msg)


def read(p):
    # the sources are UTF-8, some with CRLF
    return p.read_bytes().decode("utf-8").replace("\r\n", "\n").replace("\r", "\n")


def write(p, text):
    ast.parse(text, str(p))
    p.write_text(text, encoding="utf-8", newline="\n")


# ---------------------------------------------------------------- step 1: lib2to3

def two_to_three(files):
    tool = RefactoringTool(["lib2to3.fixes.fix_" + f for f in FIXERS])
    for p in files:
        text = read(p)
        if not text.endswith("\n"):
            text += "\n"
        write(p, str(tool.refactor_string(text, str(p))))


# ------------------------------------------------- step 2: wire data becomes bytes

WIRE_NAMES = re.compile(r"^(payload|PAYLOAD\d?|ping_payload|fragments|pings)$")
EVENTS = {"message", "ping", "pong"}


def target_name(t):
    return t.id if isinstance(t, ast.Name) else t.attr if isinstance(t, ast.Attribute) else ""


def strings(node, into_calls=True):
    todo = [node]
    while todo:
        n = todo.pop()
        if isinstance(n, ast.Constant) and isinstance(n.value, str) and n.kind != "u":
            yield n
        elif into_calls or not isinstance(n, ast.Call):  # not the 'utf-8' of .decode('utf-8')
            todo.extend(ast.iter_child_nodes(n))


def wire_literals(tree, whole_function=None):
    """The str constants that are wire data. `u''` literals stay text (close reasons)."""
    out = {}

    def add(n):
        out[(n.lineno, n.col_offset)] = n

    for n in ast.walk(tree):
        if isinstance(n, ast.Assign) and any(WIRE_NAMES.match(target_name(t)) for t in n.targets):
            for s in strings(n.value, into_calls=False):
                add(s)
        elif isinstance(n, ast.Call):
            for k in n.keywords:
                if k.arg in ("payload", "reasonUtf8"):
                    for s in strings(k.value, into_calls=False):
                        add(s)
            f = n.func
            if isinstance(f, ast.Attribute) and f.attr == "join" and isinstance(f.value, ast.Constant):
                # ''.join(fragments); '.'.join of case ids does not occur in case/
                if f.value.value == "":
                    add(f.value)
        elif isinstance(n, ast.Tuple) and len(n.elts) >= 2:
            a, b = n.elts[:2]
            if isinstance(a, ast.Constant) and a.value in EVENTS and isinstance(b, ast.Constant) \
                    and isinstance(b.value, str):
                add(b)
        elif isinstance(n, ast.FunctionDef) and n.name == whole_function:
            # everything but the docstring and the titles in `vs = ["title", []]`
            skip = {id(n.body[0].value)}
            for m in ast.walk(n):
                if isinstance(m, ast.Assign) and target_name(m.targets[0]) == "vs":
                    skip.add(id(m.value.elts[0]))
            for s in strings(n):
                if id(s) not in skip:
                    add(s)
    return list(out.values())


def bytes_literals(p, whole_function=None):
    text = read(p)
    lines = text.split("\n")
    nodes = wire_literals(ast.parse(text), whole_function)
    for n in sorted(nodes, key=lambda n: (n.lineno, n.col_offset), reverse=True):
        if n.lineno != n.end_lineno:
            die(f"{p}:{n.lineno}: wire literal over more than one line")
        raw = lines[n.lineno - 1].encode("utf-8")
        src = raw[n.col_offset:n.end_col_offset].decode("utf-8")
        if not src.isascii():
            # Python 2 with `coding=utf-8`: the literal's value was the UTF-8 octets
            if "\\" in src:
                die(f"{p}:{n.lineno}: escapes and non-ASCII in one literal")
            new = repr(n.value.encode("utf-8"))
        else:
            new = "b" + src
            # Python 2 value of an ASCII-source str literal = octets of its latin-1 reading
            if ast.literal_eval(new) != n.value.encode("latin-1"):
                die(f"{p}:{n.lineno}: {src} would change its value")
        lines[n.lineno - 1] = (raw[:n.col_offset] + new.encode() + raw[n.end_col_offset:]).decode("utf-8")
    write(p, "\n".join(lines))
    return len(nodes)


# ------------------------------------------------------ step 3: literal replacements

def sub(p, edits):
    text = read(p)
    for want, old, new in edits:
        got = text.count(old)
        if got != want:
            die(f"{p}: expected {want} times, found {got} times: {old!r}")
        text = text.replace(old, new)
    write(p, text)


HEX = "binascii.b2a_hex("
NEWHEX = "_hex("
HEXDEF = "def _hex(data):\n   return binascii.b2a_hex(data).decode('ascii')\n"


def port_cases(case):
    total = 0
    for p in sorted(case.glob("case*.py")):
        total += bytes_literals(p, "createUtf8TestSequences" if p.name == "case6_x_x.py" else None)
    print(f"port.py: {total} wire literals in case/*.py are bytes now")

    # new-style classes: (object, Case) has no method resolution order in Python 3
    for name, n in (("case6_x_x.py", 1), ("case7_7_X.py", 1), ("case7_9_X.py", 1), ("case9_7_X.py", 1),
                    ("case12_x_x.py", 2)):
        sub(case / name, [(n, "(object, Case, )", "(Case, )")])

    # payloads in descriptions
    for name, n in (("case6_2_1.py", 1), ("case6_2_2.py", 2), ("case6_2_3.py", 1), ("case6_2_4.py", 1),
                    ("case6_3_1.py", 1), ("case6_3_2.py", 1), ("case6_4_1.py", 3), ("case6_4_2.py", 3),
                    ("case6_4_3.py", 3), ("case6_4_4.py", 3), ("case7_5_1.py", 1)):
        sub(case / name, [(n, HEX, NEWHEX), (1, "import binascii\n", "import binascii\n" + HEXDEF)])
    for name in ("case6_2_1.py", "case6_2_3.py", "case6_2_4.py"):
        sub(case / name, [(1, "% (PAYLOAD, _hex", "% (PAYLOAD.decode('utf8'), _hex")])
    sub(case / "case6_2_2.py", [(1, "% (PAYLOAD1, _hex", "% (PAYLOAD1.decode('utf8'), _hex"),
                                (1, ", PAYLOAD2, _hex", ", PAYLOAD2.decode('utf8'), _hex")])

    # one octet of a bytes object is an int in Python 3
    sub(case / "case6_4_2.py", [(2, "PAYLOAD[12]", "PAYLOAD[12:13]")])
    sub(case / "case6_4_4.py", [(2, "PAYLOAD[12]", "PAYLOAD[12:13]")])

    sub(case / "case6_x_x.py", [
        (2, "s += chr(i)", "s += bytes([i])"),
        (1, "s += chr(0x20)", "s += bytes([0x20])"),
        (1, "(desc, binascii.b2a_hex(p[1]))", "(desc, binascii.b2a_hex(p[1]).decode('ascii'))"),
        (6, ".tostring()", ".tobytes()"),
    ])
    sub(case / "case12_x_x.py", [(1, "hexlify(received_hash)", "hexlify(received_hash).decode('ascii')"),
                                 (1, "hexlify(self._expected_hash)", "hexlify(self._expected_hash).decode('ascii')")])
    sub(case / "case9_9_1.py", [
        (1, "from zope.interface import implements\n", "from zope.interface import implementer\n"),
        (1, "class FrameProducer:\n\n   implements(interfaces.IPushProducer)\n",
            "@implementer(interfaces.IPushProducer)\nclass FrameProducer:\n"),
    ])
    sub(case / "case10_1_1.py", [(1, "len(self.payload) / self.p.autoFragmentSize",
                                     "len(self.payload) // self.p.autoFragmentSize")])

    # comparison of events: pickles of equal values may differ (memo by identity);
    # plain equality of lists of tuples of (str, bytes, bool) is what is meant
    sub(case / "case.py", [
        (1, "return pickle.dumps(obj1) == pickle.dumps(obj2)", "return obj1 == obj2"),
        (1, "import pickle\n", ""),
    ])


def port_suite(pkg):
    sub(pkg / "__init__.py", [
        (1, "import warnings\n", "import warnings\n\nwarnings.filterwarnings(\"ignore\", message=\"pkg_resources is deprecated\")\n"),
    ])
    sub(pkg / "choosereactor.py", [
        (1, "      epollreactor.install()\n",
            "      epollreactor.install()\n      import txaio\n      txaio.use_twisted()\n"),
    ])
    sub(pkg / "report.py", [
        # Jinja2 is only for the WAMP reports, which wstest no longer has
        (1, "import jinja2\n", ""),
        (1, "        env = jinja2.Environment(", "        import jinja2\n        env = jinja2.Environment("),
    ])
    for name, n in (("testee.py", 1), ("broadcast.py", 1), ("echo.py", 1)):
        # upstream listens on all interfaces whatever the URL says
        sub(pkg / name, [(n, "listenWS(factory, sslContext)", "listenWS(factory, sslContext, interface = factory.host)")])
    sub(pkg / "echo.py", [
        (1, "def startServer(wsuri, sslKey = None,", "def startServer(wsuri, webport = None, sslKey = None,"),
    ])
    sub(pkg / "testee.py", [
        # no web page next to the echo server
        (1, "   if webport:\n", "   if False and webport:\n"),
    ])
    sub(pkg / "caseset.py", [
        (3, "replace('.', '\\.')", "replace('.', '\\\\.')"),
    ])

    sub(pkg / "fuzzing.py", [
        # TLS only when asked for (pyOpenSSL is not installed)
        (1, "from twisted.internet import reactor, ssl\n", "from twisted.internet import reactor\n"),
        (1, "         hostname = server.get(\"hostname\")\n         if hostname:\n",
            "         hostname = server.get(\"hostname\")\n"
            "         if not server[\"url\"].startswith(\"wss:\"):\n"
            "            self.contextFactory = None\n"
            "         elif hostname:\n"
            "            from twisted.internet import ssl\n"),
        (1, "         else:\n            self.contextFactory = ssl.ClientContextFactory()\n",
            "         else:\n            from twisted.internet import ssl\n"
            "            self.contextFactory = ssl.ClientContextFactory()\n"),
        (1, "   if sslKey and sslCert:\n      sslContext = ssl.",
            "   if sslKey and sslCert:\n      from twisted.internet import ssl\n      sslContext = ssl."),
        (1, "   listenWS(factory, sslContext)\n", "   listenWS(factory, sslContext, interface = factory.host)\n"),
        (1, "         reactor.listenSSL(webport, web, sslContext)\n",
            "         reactor.listenSSL(webport, web, sslContext, interface = factory.host)\n"),
        (1, "         reactor.listenTCP(webport, web)\n",
            "         reactor.listenTCP(webport, web, interface = factory.host)\n"),
        (1, "      webdir.putChild('cwd', curdir)\n", "      webdir.putChild(b'cwd', curdir)\n"),

        # log of octets and frames: text
        (1, "      dd = binascii.b2a_hex(data[:maxlen]) + ellipses\n",
            "      dd = binascii.b2a_hex(data[:maxlen]).decode('ascii') + ellipses\n"),
        (1, "      dd = binascii.b2a_hex(data)\n", "      dd = binascii.b2a_hex(data).decode('ascii')\n"),
        (1, "         dd = data[:maxlen] + ellipses\n", "         dd = data[:maxlen] + ellipses.encode('ascii')\n"),
        (1, "         p = ''.join(payload)\n", "         p = b''.join(payload)\n"),
        (2, "binascii.b2a_hex(frameHeader.mask) if frameHeader.mask else None",
            "binascii.b2a_hex(frameHeader.mask).decode('ascii') if frameHeader.mask else None"),
        (1, "                     mmask = binascii.b2a_hex(t[6])\n", "                     mmask = str(t[6])\n"),
        (1, "(2+4+len(prefix))*\" \", ll.encode('utf8')))\n", "(2+4+len(prefix))*\" \", ll))\n"),

        # what goes into the JSON report: text
        (1, "                       \"localCloseReason\": self.localCloseReason,\n",
            "                       \"localCloseReason\": _text(self.localCloseReason),\n"),
        (1, "                       \"remoteCloseReason\": self.remoteCloseReason,\n",
            "                       \"remoteCloseReason\": _text(self.remoteCloseReason),\n"),
        (1, "\"httpRequest\": self.http_request_data if hasattr(self, 'http_request_data') else '?'",
            "\"httpRequest\": _text(getattr(self, 'http_request_data', '?'))"),
        (1, "\"httpResponse\": self.http_response_data if hasattr(self, 'http_response_data') else '?'",
            "\"httpResponse\": _text(getattr(self, 'http_response_data', '?'))"),
        (1, "class FuzzingProtocol:\n",
            "def _text(data):\n"
            "   return data.decode('utf8', errors = 'replace') if isinstance(data, bytes) else data\n"
            "\n\n"
            "class FuzzingProtocol:\n"),

        # report files
        (2, "f = open(os.path.join(outdir, report_filename), 'w')\n\n      ## write HTML",
            "f = open(os.path.join(outdir, report_filename), 'w', encoding = 'utf-8')\n\n      ## write HTML"),
        (1, "% (c[0], case[c[0]], c[1])).encode(\"utf-8\"))\n", "% (c[0], case[c[0]], c[1])))\n"),

        # the fuzzing server's control messages are bytes on the wire
        (1, "self.sendMessage(json.dumps(len(self.factory.specCases)))",
            "self.sendMessage(json.dumps(len(self.factory.specCases)).encode('utf8'))"),
        (1, "               'behavior':results['behavior']\n            }))\n",
            "               'behavior':results['behavior']\n            }).encode('utf8'))\n"),
        (1, "self.factory.CaseSet.caseClassToPrettyDescription(self.Case),\n         }))\n",
            "self.factory.CaseSet.caseClassToPrettyDescription(self.Case),\n         }).encode('utf8'))\n"),
        (1, "self.sendFrame(opcode = 1, payload = spec.get(\"payload\", \"\"),",
            "self.sendFrame(opcode = 1, payload = spec.get(\"payload\", \"\").encode(\"UTF-8\"),"),
        (1, "log.msg(\"Pong received: \" + payload)", "log.msg(\"Pong received: %r\" % payload)"),

        # an exception inside the harness must not hide
        (1, "def startClient(spec, debug = False):\n",
            "class HarnessErrors(object):\n"
            "   \"\"\"\n"
            "   Twisted would only log an exception raised inside a case; print it with the\n"
            "   case's id and make the process exit with 3 (4: a server was not reachable).\n"
            "   \"\"\"\n"
            "   count = 0\n"
            "   refused = 0\n"
            "   factory = None\n"
            "\n"
            "   @classmethod\n"
            "   def observe(cls, event):\n"
            "      if event.get('isError') and event.get('failure') is not None:\n"
            "         cls.count += 1\n"
            "         print(\"EXCEPTION in case %s: %s\" % (getattr(cls.factory, 'currentCaseId', '?'), event['failure'].getTraceback()), flush = True)\n"
            "\n"
            "\n"
            "def startClient(spec, debug = False):\n"
            "   log.addObserver(HarnessErrors.observe)\n"),
        (1, "   def clientConnectionFailed(self, connector, reason):\n",
            "   def clientConnectionFailed(self, connector, reason):\n      HarnessErrors.refused += 1\n"),
        (1, "   factory = FuzzingClientFactory(spec, debug)\n",
            "   factory = FuzzingClientFactory(spec, debug)\n   HarnessErrors.factory = factory\n"),
    ])

    sub(pkg / "wstest.py", [
        # WAMP message test data; needs unittest2
        (1, "from . import serializer\n", ""),
        (1, "            'serializer'\n            ]\n", "            ]\n"),
        (1, "      reactor.run()\n",
            "      reactor.run()\n"
            "      if fuzzing.HarnessErrors.refused:\n"
            "         print(\"a server could not be reached: the report lacks cases\")\n"
            "         sys.exit(4)\n"
            "      if fuzzing.HarnessErrors.count:\n"
            "         print(\"%d exceptions were raised inside the fuzzing client, see above\" % fuzzing.HarnessErrors.count)\n"
            "         sys.exit(3)\n"),
    ])


def port_autobahn(pkg):
    sub(pkg / "websocket" / "protocol.py", [
        (1, "range(payload_len / len(payload))", "range(payload_len // len(payload))"),
    ])


def main():
    site = pathlib.Path(sys.argv[1])
    pkg = site / "autobahntestsuite"
    ab = site / "autobahn"
    stamp = pkg / "PORTED_TO_PYTHON3"
    if stamp.exists():
        print("port.py: already ported")
        return
    for name, want in PRISTINE.items():
        got = hashlib.sha256((site / name).read_bytes()).hexdigest()
        if got != want:
            die(f"{name} is not the file this port was written for (sha256 {got})")
    top = [pkg / n for n in ("__init__.py", "_version.py", "choosereactor.py", "wstest.py", "echo.py", "broadcast.py",
                             "testee.py", "caseset.py", "report.py", "spectemplate.py", "fuzzing.py", "massconnect.py",
                             "serializer.py", "interfaces.py", "util.py")]
    two_to_three(top + sorted((pkg / "case").glob("*.py")))
    port_cases(pkg / "case")
    port_suite(pkg)
    port_autobahn(ab)
    stamp.write_text("by port.py\n")
    print("port.py: done")


if __name__ == "__main__":
    main()
