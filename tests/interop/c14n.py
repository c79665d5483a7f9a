"""libxml2 through lxml: random documents with the canonical forms of an inner element. JSON lines out."""

import json
import random
import sys

from lxml import etree

RANDOM = random.Random(int(sys.argv[2]))
PREFIXES = ["", "a", "b", "c", "xs"]
URIS = ["urn:one", "urn:two", "http://three/?x=1", "urn:four"]
TEXTS = ["x", " ", "\t", "\n", "&amp;", "&lt;", ">", "&#13;", "&#9;", "é", "𝄞", '"', "'"]
VALUES = ["x", " ", "\t", "\n", "\n\t", "&amp;", "&lt;", ">", "&#13;", "&#10;", "&#9;", "é", "&quot;"]


def words(parts):
    return "".join(RANDOM.choice(parts) for _ in range(RANDOM.randrange(4)))


def element(depth, scope, apex):
    scope = dict(scope)
    out = ""
    for prefix in RANDOM.sample(PREFIXES, RANDOM.randrange(3)):
        uri = RANDOM.choice(URIS + ([""] if prefix == "" else []))
        scope[prefix] = uri
        out += f' xmlns{":" + prefix if prefix else ""}="{uri}"'
    names = {}
    for _ in range(RANDOM.randrange(4)):
        prefix = RANDOM.choice([""] + [one for one in scope if one])
        local = RANDOM.choice("efgh")
        if (scope[prefix] if prefix else None, local) not in names:
            names[(scope[prefix] if prefix else None, local)] = (prefix, words(VALUES))
    for (_, local), (prefix, value) in names.items():
        out += f' {prefix + ":" if prefix else ""}{local}="{value}"'
    if apex:
        out += ' ID="apex"'
    prefix = RANDOM.choice([one for one in scope] + [""])
    name = f'{prefix + ":" if prefix else ""}{RANDOM.choice("mnop")}'
    inside = ""
    for index in range(RANDOM.randrange(4) if depth else 0):
        inside += words(TEXTS)
        kind = RANDOM.randrange(8)
        if kind == 0:
            inside += "<!-- c -->"
        elif kind == 1:
            inside += "<?pi  some data?>"
        elif kind == 2:
            inside += "<![CDATA[<&>]]>"
        else:
            inside += element(depth - 1, scope, False)
    return f"<{name}{out}>{inside}{words(TEXTS)}</{name}>"


for _ in range(int(sys.argv[1])):
    inner = None
    scope = {"a": "urn:one", "b": "urn:two"}
    # The apex stands under two elements whose namespaces only it may need.
    outer = ["<a:r xmlns:a='urn:one' xmlns:b='urn:two'>", "</a:r>"]
    if RANDOM.randrange(2):
        uri = RANDOM.choice(URIS)
        outer = [f"{outer[0]}<b:s xmlns='{uri}' b:k='v'>t", f"</b:s>{outer[1]}"]
        scope[""] = uri
    text = outer[0] + element(3, scope, True) + outer[1]
    tree = etree.fromstring(text)
    apex = tree.xpath("//*[@ID='apex']")[0]
    listed = RANDOM.sample(["a", "b", "c", "xs"], RANDOM.randrange(3))
    comments = bool(RANDOM.randrange(2))
    form = etree.tostring(
        apex, method="c14n", exclusive=True, with_comments=comments, inclusive_ns_prefixes=listed or None, with_tail=False
    )
    print(json.dumps({"text": text, "listed": " ".join(listed), "comments": comments, "form": form.decode()}))
