"""Signs and verifies one document with libxmlsec1 (python-xmlsec) and signxml, in this process: `WHO DOES COUNT` a line in,
nanoseconds of CPU time a call out. Keys are parsed once; each call starts from text, and one that signs ends with text."""

import sys
import time
from importlib.metadata import version
from pathlib import Path

import signxml
import xmlsec
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509 import load_pem_x509_certificate
from lxml import etree

SIGNATURE = "{http://www.w3.org/2000/09/xmldsig#}Signature"
ASSERTION = ".//{urn:oasis:names:tc:SAML:2.0:assertion}Assertion"
EXCLUSIVE = "http://www.w3.org/2001/10/xml-exc-c14n#"

folder = Path(sys.argv[1])
plain, template, signed, key_pem, certificate_pem = (
    (folder / name).read_bytes() for name in ("plain.xml", "template.xml", "signed.xml", "key.pem", "certificate.pem")
)
private = xmlsec.Key.from_memory(key_pem, xmlsec.constants.KeyDataFormatPem)
private.load_cert_from_memory(certificate_pem, xmlsec.constants.KeyDataFormatPem)
public = xmlsec.Key.from_memory(certificate_pem, xmlsec.constants.KeyDataFormatCertPem)
private_key = load_pem_private_key(key_pem, None)
certificate = load_pem_x509_certificate(certificate_pem)


def signature_in(text):
    root = etree.fromstring(text)
    xmlsec.tree.add_ids(root, ["ID"])
    return root, root.find(".//" + SIGNATURE)


def xmlsec_verify():
    _, signature = signature_in(signed)
    context = xmlsec.SignatureContext()
    context.key = public
    context.verify(signature)


def xmlsec_sign():
    root, signature = signature_in(template)
    context = xmlsec.SignatureContext()
    context.key = private
    context.sign(signature)
    return etree.tostring(root)


def signxml_verify():
    config = signxml.SignatureConfiguration(location=ASSERTION + "/")
    return signxml.XMLVerifier().verify(signed, x509_cert=certificate, expect_config=config).signed_data


def signxml_sign():
    assertion = etree.fromstring(plain).find(ASSERTION)
    assertion.insert(1, etree.Element(SIGNATURE, Id="placeholder", nsmap={"ds": SIGNATURE[1:].partition("}")[0]}))
    signer = signxml.XMLSigner(c14n_algorithm=EXCLUSIVE)
    made = signer.sign(assertion, key=private_key, cert=[certificate], reference_uri=assertion.get("ID"))
    return etree.tostring(made)


assert signature_in(xmlsec_sign())[1] is not None and b">alice<" in signxml_verify() and b"<ds:SignatureValue>" in signxml_sign()
versions = ".".join(map(str, xmlsec.get_libxmlsec_version())), version("xmlsec"), version("signxml")
print("libxmlsec1 {} through python-xmlsec {}, signxml {}".format(*versions), flush=True)
for line in sys.stdin:
    who, does, count = line.split()
    act, count = globals()[f"{who}_{does}"], int(count)
    start = time.process_time_ns()
    for _ in range(count):
        act()
    print(time.process_time_ns() - start, flush=True)
