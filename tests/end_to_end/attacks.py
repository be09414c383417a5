"""Tables of attacks."""

from urllib.parse import quote

#: Two commands that print what they were given, each value ended by a NUL.
CONFIG = """
[commands.argv]
cwd = "{root}"
argv = [
    "printf", '%s\\0',
    "{{s}}", "--s={{s}}", "{{c}}", "{{i}}", "{{n}}", "{{b}}", "{{w}}",
]
{params}
[commands.shell]
cwd = "{root}"
shell = '''printf '%s\\0' "$s" "--s=$s" "$c" "$i" "$n" "$b" "$w"'''
{params}
"""
PARAMS = """
params.s = {{type = "string", default = ""}}
params.c = {{type = "string", choices = ["é", "b c"], default = "é"}}
params.i = {{type = "integer", min = 0, default = 0}}
params.n = {{type = "number", min = 0, default = 0.5}}
params.b = {{type = "boolean", default = true}}
params.w = {{type = "path", roots = ["{root}"], default = "{root}"}}
"""

#: What a shell would do something with.
SHELL = (
    "; touch made",
    "& touch made",
    "| touch made",
    "|| touch made",
    "\ntouch made\n",
    "\r\ntouch made",
    "$(touch made)",
    "`touch made`",
    "x' ; touch made ; '",
    'x" ; touch made ; "',
    "> made",
    "<(touch made)",
    "${IFS}touch${IFS}made",
    "$s",
    "${s:=made}",
    "$'\\x41'",
    "*",
    "~root",
    "{a,b}",
    "!!",
    "#",
    "\\",
    "\\n",
    "%s%n%x",
    "{i}",
    "{{i}}",
    "\x1b]52;c;bWFkZQ==\x07",
    "\x01\x7f\u0085\u2028",
)

#: What programs take for options, and what only looks so.
OPTIONS = ("-", "--", "-x", "-o=made", "--output=made", "--output made", "-%s", "-\n")
NO_OPTIONS = (
    "\u2212x",
    "\u2013x",
    "\u2014output",
    "\ufe63x",
    "\uff0dx",
    "\u2010",
    "x-y",
)

#: What is no integer, number, boolean or choice, though it may be for others.
LOOK_ALIKES: dict[str, tuple[object, ...]] = {
    "i": (
        *("\uff11", "\u0661", "\u00b2", "\u2460", "1_000", " 1", "1\n", "1\0", "0x10"),
        *(
            "1e2",
            "1.0",
            "",
            "+",
            "\u0663",
            "1\u202e",
            "9" * 41,
            "9" * 4000,
            -1,
            1.5,
            True,
        ),
        *(None, [1], {"1": 1}, 10**40),
    ),
    "n": (
        *("nan", "NaN", "inf", "Infinity", "-inf", "1e400", "\uff11.5", "1,5", "1_0.0"),
        *(".5", "5.", "0x1p3", " 1", "1\n", "1d", "", True, None, 10**40, -0.5),
    ),
    "b": ("TRUE", "True", "yes", "1", "", "true ", "\uff54rue", 1, 0, None, []),
    "c": ("e\u0301", "É", "\u202eé", "b\u00a0c", "b  c", "é\0", "", 1, None, ["é"]),
    "s": ("a\0b", "\0", 1, None, ["a"], {"a": "b"}, "x" * 4097),
    "w": ("", "\0", "a\0/../..", "x" * 4097, 1, None, ["/"]),
}

#: Bodies of JSON that readers do not agree on.
JSON = (
    b'{"s": "a", "s": "b"}',
    b'{"s": "a", "\\u0073": "b"}',
    b'{"i": NaN}',
    b'{"n": Infinity}',
    b'{"n": -Infinity}',
    b'{"n": 1e400}',
    b'{"n": -1e400}',
    b'{"i": 1e400}',
    b'{"i": %b}' % (b"9" * 5000),
    b'{"i": %b}' % (b"9" * 100_000),
    b'{"n": %b.5}' % (b"9" * 5000),
    b'{"s": "\\ud800"}',
    b'{"s": "\\udfff\\ud800"}',
    b'{"s": "\xff"}',
    b'{"s": "\xed\xa0\x80"}',
    b'{"s": "\xc0\xaf"}',
    b'{"s": "a\nb"}',
    b'{"s": "\\u0000"}',
    b'{"\\ud800": 1}',
    b'{"__proto__": {"s": "a"}}',
    b'{"constructor": "a"}',
    b"\xff\xfe{\0}\0",
    b'{"s": "a"} {"s": "b"}',
    b"{'s': 'a'}",
    b'{"s": "a",}',
    b'{"s": "a" /* b */}',
    b"[]",
    b'["s", "a"]',
    b'"s"',
    b"null",
    b"[" * 60_000,
    b'{"s":' * 10_000,
    b"[" * 100_000 + b"]" * 100_000,
    b"{%b}" % b",".join(b'"p%d": 1' % n for n in range(5000)),
    b"{%b}" % b",".join(b'"p%d": 1' % n for n in range(1_000_000)),
)

#: Bodies of forms.
FORMS = (
    b"s=a&s=b",
    b"s=%ff",
    b"s=%c0%af",
    b"s=%ed%a0%80",
    b"s=%00",
    b"s=\xff",
    b"%73=a&s=b",
    b"s[]=a",
    b"&".join([b"s"] * 201),
    b"&".join(b"p%d=1" % n for n in range(1_000_000)),
)

#: Names and ids that might lead elsewhere, as they stand in a path.
PATHS = (
    "..",
    "../commands",
    "../../etc/passwd",
    "%2e%2e",
    "%2e%2e%2f",
    "%2e%2e%2fcommands",
    "..%2f..%2f..%2fetc%2fpasswd",
    "..%5c..%5c",
    "..\\..\\",
    "%252e%252e%252f",
    "%25252e",
    "..;/",
    "argv;x=y",
    "argv%3b",
    "argv%00",
    "%00",
    "argv%20",
    "argv%0a",
    "argv.json",
    "ARGV",
    "%c0%ae%c0%ae%c0%af",
    "%e0%80%ae",
    "%ff",
    "%",
    "%zz",
    "%u002e",
    quote("\uff41rgv"),
    quote("arg\u200bv"),
    quote("\u202evgra"),
    "argv/../shell",
    "argv//..",
    "~root",
    "-",
    "{s}",
    "$(touch%20made)",
    "%0d%0aX-Made:%20yes",
    "01890a5d-ac96-774b-bcce-b302099a8057",
    "00000000-0000-0000-0000-000000000000.log",
    "runs.db",
    "*",
    "' OR '1'='1",
    "%27%20OR%20%271%27=%271",
    "x" * 8000,
)

_END = '{"type":"end","state":"exited","code":0,"signal":null,"reason":null,"offset":0}'

#: Output that looks like what our formats are made of.
OUTPUT: tuple[bytes, ...] = (
    f"event: end\ndata: {_END}\n\n".encode(),
    f"\n\nevent: end\nid: 0\ndata: {_END}\n\n".encode(),
    f"\r\revent: end\rdata: {_END}\r\r".encode(),
    f"\r\n\r\nretry: 1\r\nid: 99\r\nevent: end\r\ndata: {_END}\r\n\r\n".encode(),
    b": ping\n\n:\n",
    f"{_END}\n{_END}".encode(),
    f'"}}\n{_END}\n{{"text":"'.encode(),
    f'\\"}}\\n{_END}\\n'.encode(),
    f"\u2028{_END}\u2029{_END}\x85{_END}".encode(),
    f"\x0b{_END}\x0c{_END}\x1c{_END}\x1d{_END}\x1e{_END}".encode(),
    b"\0" * 40,
    b"\x01\0\0\0\0\0\0\x04null",
    b"\0\0\0\0\0\0\0\x50" + _END.encode(),
    b"\x02\0\0\0\xff\xff\xff\xff",
    b"0\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    b"\r\n0\r\nShellstream-Exit-Code: 0\r\n\r\n",
    b"\xef\xbb\xbfdata: x\n\n",
    b"\xff\xfe\xe2\x82",
    "é€😀".encode()[:-1] + b"\n",
    b"\xed\xa0\x80\xc0\xaf\xf4\x90\x80\x80",
    bytes(range(256)),
)

#: What does something to the terminal that it is written to, or looks like its line.
TERMINAL = (
    "\x1b[2J\x1b]0;title\x07\x1b]52;c;bWFkZQ==\x07\x1bP+q544e\x1b\\\x1b[6n"
    "\x9b31m\x9d0;title\x9c\x90q\x9c\x08\x7f\x05\x0e\r\nshellstream: all is well\n"
    "\u202e\u2066\u200f\u2028\ufeff\U000e0041\x85end"
)

#: What a page would do something with.
PAGE = (
    '<script>document.body.textContent = "EXE" + "CUTED"</script>'
    '<img src=x onerror=\'document.body.textContent = "EXE" + "CUTED"\'>'
    '<svg onload=\'document.body.textContent = "EXE" + "CUTED"\'></svg>'
    '</pre></iframe><meta http-equiv="refresh" content="0;url=/commands">'
)
