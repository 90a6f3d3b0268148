# SPDX-License-Identifier: Apache-2.0
"""Templates that the tests push."""

import json
import os

# The prompt is a shell script, as in deploy/templates/shell, with nothing around it.
RUN_PROMPT = 'exec bash "$STINT_PROMPT_FILE"'

AGENT = "/opt/stint/bin/stint-agent"


def shell(script=RUN_PROMPT, **keys):
    """Files of a template whose command is a bash script; JSON is YAML."""
    yaml = {"name": "test", "command": ["bash", "-c", script], "grace": "2s",
            "app": {"slug": "shell", "display_name": "Shell"}} | keys
    return {"template.yaml": template_yaml(yaml)}


def chat(persist=False, app=None, **keys):
    """lib/inside/chat.py behind the built-in AgentAPI server."""
    command = [AGENT, "agentapi", "--type", "custom", "--", "python3", "/opt/template/chat.py"]
    agentapi = {"prompt": "send", "enable_state_persistence": persist}
    return _with_agentapi("chat", command, agentapi, app, keys) | {"chat.py": inside("chat.py")}


def fake(app=None, agentapi=None, **keys):
    """lib/inside/fake_agentapi.py, whose health is looked at often."""
    command = ["python3", "/opt/template/fake_agentapi.py"]
    files = _with_agentapi("fake", command, {"prompt": "send"} | (agentapi or {}), app, keys)
    return files | {"fake_agentapi.py": inside("fake_agentapi.py")}


def _with_agentapi(slug, command, agentapi, app, keys):
    health = {"url": "http://localhost:${AGENTAPI_PORT}/status", "interval": "1s", "threshold": 2}
    app = {"slug": slug, "display_name": slug.title(), "command": command, "restart": "on-failure",
           "health": health} | (app or {})
    yaml = {"name": "test", "agentapi": agentapi, "grace": "5s", "app": app} | keys
    return {"template.yaml": template_yaml(yaml)}


def inside(name):
    """A program that runs in the sandbox."""
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "inside", name)) as f:
        return f.read()


def template_yaml(yaml):
    return "".join(f"{key}: {json.dumps(value)}\n" for key, value in yaml.items() if value is not None)
