# SPDX-License-Identifier: Apache-2.0
"""Templates that the tests push."""

import json

# The prompt is a shell script, as in deploy/templates/shell, with nothing around it.
RUN_PROMPT = 'exec bash "$STINT_PROMPT_FILE"'


def shell(script=RUN_PROMPT, **keys):
    """Files of a template whose command is a bash script; JSON is YAML."""
    yaml = {"name": "test", "command": ["bash", "-c", script], "grace": "2s",
            "app": {"slug": "shell", "display_name": "Shell"}} | keys
    return {"template.yaml": template_yaml(yaml)}


def template_yaml(yaml):
    return "".join(f"{key}: {json.dumps(value)}\n" for key, value in yaml.items() if value is not None)
