"""libxml2 through lxml: random documents with the canonical forms of an inner element. JSON lines out."""

import json
import random
import sys

from lxml import etree

RANDOM = random.Random(int(sys.argv[2]))
PREFIXES = ["", "a", "b", "c", "xs"]
URIS = ["urn:one", "urn:two", "http://three/?x=1", "urn:four"]
TEXTS = ["x", " ", "\t", "\n", "&amp;", "&lt;", ">", "&#13;", "&#9;", "é", "𝄞", '"', "'"]
CANONICAL = ["x", " ", "\n", "&amp;", "&lt;", "é", "'"]
VALUES = ["x", " ", "\t", "\n", "\n\t", "&amp;", "&lt;", ">", "&#13;", "&#10;", "&#9;", "é", "&quot;"]


def words(parts):
    return "".join(RANDOM.choice(parts) for _ in range(RANDOM.randrange(4)))


def element(depth, scope, plain, apex=False):
    """`plain`: most of it stands in canonical text as it does here, as in most messages."""
    scope = dict(scope)
    out = ""
    texts = CANONICAL if plain else TEXTS
    declares = not plain or RANDOM.randrange(6) == 0
    for prefix in RANDOM.sample(PREFIXES, RANDOM.randrange(3) if declares else 0):
        uri = RANDOM.choice(URIS + ([""] if prefix == "" else []))
        scope[prefix] = uri
        out += f' xmlns{":" + prefix if prefix else ""}="{uri}"'
    names = {}
    for _ in range(RANDOM.randrange(2 if plain else 4)):
        prefix = RANDOM.choice([""] + [one for one in scope if one])
        local = RANDOM.choice("efgh")
        if (scope[prefix] if prefix else None, local) not in names:
            names[(scope[prefix] if prefix else None, local)] = (prefix, words(["x"] if plain else VALUES))
    for (_, local), (prefix, value) in names.items():
        out += f' {prefix + ":" if prefix else ""}{local}="{value}"'
    if apex:
        out += ' ID="apex"'
    prefix = RANDOM.choice([one for one in scope] + [""])
    name = f'{prefix + ":" if prefix else ""}{RANDOM.choice("mnop")}'
    inside = ""
    for index in range(RANDOM.randrange(4) if depth else 0):
        inside += words(texts)
        kind = RANDOM.randrange(60 if plain else 8)
        if kind == 0:
            inside += "<!-- c -->"
        elif kind == 1:
            inside += "<?pi  some data?>"
        elif kind == 2:
            inside += "<![CDATA[<&>]]>"
        else:
            inside += element(depth - 1, scope, plain)
    return f"<{name}{out}>{inside}{words(texts)}</{name}>"


for _ in range(int(sys.argv[1])):
    inner = None
    scope = {"a": "urn:one", "b": "urn:two"}
    # The apex stands under two elements whose namespaces only it may need.
    outer = ["<a:r xmlns:a='urn:one' xmlns:b='urn:two'>", "</a:r>"]
    if RANDOM.randrange(2):
        uri = RANDOM.choice(URIS)
        outer = [f"{outer[0]}<b:s xmlns='{uri}' b:k='v'>t", f"</b:s>{outer[1]}"]
        scope[""] = uri
    plain = RANDOM.randrange(2) == 0
    text = outer[0] + element(6 if plain else 3, scope, plain, apex=True) + outer[1]
    tree = etree.fromstring(text)
    apex = tree.xpath("//*[@ID='apex']")[0]
    listed = RANDOM.sample(["a", "b", "c", "xs"], RANDOM.randrange(3))
    comments = bool(RANDOM.randrange(2))
    form = etree.tostring(
        apex, method="c14n", exclusive=True, with_comments=comments, inclusive_ns_prefixes=listed or None, with_tail=False
    )
    print(json.dumps({"text": text, "listed": " ".join(listed), "comments": comments, "form": form.decode()}))
