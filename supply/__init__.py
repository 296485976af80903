"""The supply chain: licenses and known vulnerabilities of what is installed, and a bill of materials in the wheel."""
