"""Signs, verifies, encrypts and decrypts SAML with signxml and python-xmlsec: one JSON case a line in, one answer out."""

import base64
import json
import sys

import signxml
import xmlsec
from lxml import etree

ASSERTION = "{urn:oasis:names:tc:SAML:2.0:assertion}"
DS = "http://www.w3.org/2000/09/xmldsig#"
XENC = "http://www.w3.org/2001/04/xmlenc#"
XENC11 = "http://www.w3.org/2009/xmlenc11#"
EXCLUSIVE = "http://www.w3.org/2001/10/xml-exc-c14n#"


class Verifier(signxml.XMLVerifier):
    """Any signature algorithm, as SAML places signatures."""

    def check_signature_alg_expected(self, signature_alg):
        pass


def signxml_verify(case):
    config = signxml.SignatureConfiguration(location=".//")
    found = Verifier().verify(case["xml"].encode(), x509_cert=case["certificate"], expect_config=config)
    return found.signed_data.decode()


def signxml_sign(case):
    root = etree.fromstring(case["plain"].encode())
    place = etree.Element(f"{{{DS}}}Signature", Id="placeholder", nsmap={"ds": DS})
    root.insert(1, place)
    signer = signxml.XMLSigner(
        method=signxml.methods.enveloped,
        signature_algorithm=signxml.algorithms.SignatureMethod(case["method"]),
        digest_algorithm=signxml.algorithms.DigestAlgorithm(case["digest"]),
        c14n_algorithm=EXCLUSIVE,
    )
    signed = signer.sign(root, key=case["key"], cert=case["certificate"], reference_uri=root.get("ID"))
    return etree.tostring(signed).decode()


def key_of(case, private):
    if private:
        return xmlsec.Key.from_memory(case["key"], xmlsec.constants.KeyDataFormatPem)
    return xmlsec.Key.from_memory(case["certificate"], xmlsec.constants.KeyDataFormatCertPem)


def xmlsec_verify(case):
    root = etree.fromstring(case["xml"].encode())
    xmlsec.tree.add_ids(root, ["ID"])
    context = xmlsec.SignatureContext()
    context.key = key_of(case, False)
    context.verify(xmlsec.tree.find_node(root, xmlsec.constants.NodeSignature))
    return "alice" if b">alice<" in etree.tostring(root) else "lost"


def xmlsec_sign(case):
    root = etree.fromstring(case["plain"].encode())
    method = xmlsec.constants.TransformRsaSha256
    signature = xmlsec.template.create(root, xmlsec.constants.TransformExclC14N, method, ns="ds")
    root.insert(1, signature)
    reference = xmlsec.template.add_reference(signature, xmlsec.constants.TransformSha256, uri="#" + root.get("ID"))
    # python-xmlsec has no name for some that its libxmlsec1 knows.
    signature.find(f".//{{{DS}}}SignatureMethod").set("Algorithm", case["method"])
    reference.find(f"{{{DS}}}DigestMethod").set("Algorithm", case["digest"])
    xmlsec.template.add_transform(reference, xmlsec.constants.TransformEnveloped)
    xmlsec.template.add_transform(reference, xmlsec.constants.TransformExclC14N)
    xmlsec.tree.add_ids(root, ["ID"])
    context = xmlsec.SignatureContext()
    context.key = key_of(case, True)
    context.sign(signature)
    return etree.tostring(root).decode()


def xmlsec_decrypt(case):
    root = etree.fromstring(case["xml"].encode())
    manager = xmlsec.KeysManager()
    manager.add_key(key_of(case, True))
    data = xmlsec.tree.find_node(root, xmlsec.constants.NodeEncryptedData, xmlsec.constants.EncNs)
    opened = xmlsec.EncryptionContext(manager).decrypt(data)
    return opened.findtext(f".//{ASSERTION}NameID")


def xmlsec_encrypt(case):
    root = etree.fromstring(case["plain"].encode())
    assertion = root.find(f"{ASSERTION}Assertion")
    wrapper = etree.SubElement(root, f"{ASSERTION}EncryptedAssertion")
    root.remove(assertion)
    wrapper.append(assertion)
    content = xmlsec.constants.__dict__[case["content"]]
    template = xmlsec.template.encrypted_data_create(wrapper, content, type=xmlsec.constants.TypeEncElement, ns="xenc")
    xmlsec.template.encrypted_data_ensure_cipher_value(template)
    info = xmlsec.template.encrypted_data_ensure_key_info(template, ns="ds")
    wrapped = xmlsec.template.add_encrypted_key(info, xmlsec.constants.TransformRsaOaep)
    xmlsec.template.encrypted_data_ensure_cipher_value(wrapped)
    method = wrapped.find(f"{{{XENC}}}EncryptionMethod")
    method.set("Algorithm", case["transport"])
    for name, uri in [(f"{{{DS}}}DigestMethod", case["digest"]), (f"{{{XENC11}}}MGF", case["mgf"])]:
        if uri:
            etree.SubElement(method, name, Algorithm=uri)
    manager = xmlsec.KeysManager()
    manager.add_key(key_of(case, False))
    context = xmlsec.EncryptionContext(manager)
    context.key = xmlsec.Key.generate(xmlsec.constants.KeyDataAes, case["bits"], xmlsec.constants.KeyDataTypeSession)
    context.encrypt_xml(template, assertion)
    return etree.tostring(root).decode()


for line in sys.stdin:
    case = json.loads(line)
    try:
        answer = {"id": case["id"], "made": globals()[case["do"]](case)}
    except Exception as error:  # whatever fails is told
        answer = {"id": case["id"], "error": repr(error)}
    print(json.dumps(answer), flush=True)
