#!/usr/bin/env python3
"""schema.py SCHEMA ERRORS OUTPUT...: is each line of real output as the schema has it, with no key that the schema does not
name, and its finding, class and exit status a row of ERRORS (saveseal errors --json)? And is there one of each class?"""
import json
import sys

import jsonschema


def close(node):
    """No keys but those that are named."""
    if isinstance(node, dict):
        if "properties" in node:
            node.setdefault("additionalProperties", False)
        for value in node.values():
            close(value)
    elif isinstance(node, list):
        for value in node:
            close(value)


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        schema = json.load(file)
    with open(sys.argv[2], encoding="utf-8") as file:
        rows = {row["finding"]: row for row in map(json.loads, file)}
    close(schema)
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    classes, summaries, failed = set(), 0, False
    for path in sys.argv[3:]:
        with open(path, encoding="utf-8") as file:
            for line in file:
                value = json.loads(line)
                for error in validator.iter_errors(value):
                    print(f"{error.message}: {line}")
                    failed = True
                if "summary" in value:
                    summaries += 1
                    continue
                row = rows.get(value["finding"])
                if not row or (row["class"], row["exit"]) != (value["class"], value["exit"]):
                    print(f"not a finding of saveseal errors: {line}")
                    failed = True
                classes.add(value["class"])
    missing = set(schema["$defs"]["class"]["enum"]) - classes
    if missing or not summaries:
        print(f"never seen: {sorted(missing)}, summaries: {summaries}")
        failed = True
    sys.exit(failed)


main()
