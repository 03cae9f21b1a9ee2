"""Validates SBOMs with the libraries that the projects behind CycloneDX and SPDX publish.

    validate.py FILE.cdx.json FILE.spdx.json ...

CycloneDX: the official JSON schema. SPDX: the rules of the specification, and that every package is connected to the
program.
"""

import sys

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from spdx_tools.spdx.model import RelationshipType
from spdx_tools.spdx.parser.parse_anything import parse_file
from spdx_tools.spdx.validation.document_validator import validate_full_spdx_document


def cyclonedx(path):
    with open(path, encoding="utf-8") as file:
        text = file.read()
    error = JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)
    return [str(error)] if error else []


def spdx(path):
    document = parse_file(path)
    faults = [message.validation_message for message in validate_full_spdx_document(document)]
    related = {}
    for relationship in document.relationships:
        if relationship.relationship_type is RelationshipType.BUILD_TOOL_OF:
            continue
        related.setdefault(relationship.spdx_element_id, []).append(relationship.related_spdx_element_id)
    reached, left = set(), ["SPDXRef-DOCUMENT"]
    while left:
        for element in related.get(left.pop(), []):
            if element not in reached:
                reached.add(element)
                left.append(element)
    faults += [f"nothing uses {package.name}" for package in document.packages if package.spdx_id not in reached]
    return faults


def main():
    failed = False
    for path in sys.argv[1:]:
        faults = (spdx if path.endswith(".spdx.json") else cyclonedx)(path)
        for fault in faults[:10]:
            print(f"{path}: {fault}")
        failed = failed or bool(faults)
    sys.exit(1 if failed else 0)


main()
