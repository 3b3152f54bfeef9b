"""Completes the manifest that python-for-android wrote: our service, and what no backup may take away."""

import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

MANIFEST = Path("src/main/AndroidManifest.xml")
ANDROID = "http://schemas.android.com/apk/res/android"
SERVICE = {
    "name": "org.tussis.app.RecorderService",
    "foregroundServiceType": "microphone",
    "exported": "false",
    "stopWithTask": "false",
}
RULES = "@xml/data_extraction_rules"


def before_apk_assemble(toolchain: Any) -> None:
    """python-for-android calls this in the folder of the finished project; buildozer has it called twice."""
    complete_manifest(MANIFEST)


def complete_manifest(path: Path) -> None:
    """Add what is missing to a manifest; one that is complete is left as it is, byte for byte."""
    ET.register_namespace("android", ANDROID)
    tree = ET.parse(path, ET.XMLParser(target=ET.TreeBuilder(insert_comments=True)))
    application = tree.getroot().find("application")
    if application is None:
        raise SystemExit(f"{path} has no <application>; python-for-android writes manifests in another way now.")
    before = ET.tostring(tree.getroot())
    application.set(f"{{{ANDROID}}}dataExtractionRules", RULES)
    name = f"{{{ANDROID}}}name"
    service = next((of for of in application.findall("service") if of.get(name) == SERVICE["name"]), None)
    if service is None:
        service = ET.SubElement(application, "service")
    for key, value in SERVICE.items():
        service.set(f"{{{ANDROID}}}{key}", value)
    if ET.tostring(tree.getroot()) != before:
        tree.write(path, encoding="utf-8", xml_declaration=True)
