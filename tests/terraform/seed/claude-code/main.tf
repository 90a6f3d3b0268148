# The interface of the registry's claude-code module; instead of Claude Code a shell that begins like
# it: it configures MCP, reports by the coder tool, and is behind AgentAPI with its state kept.
terraform {
  required_providers {
    coder = {
      source  = "coder/coder"
      version = ">= 2.12"
    }
  }
}

variable "agent_id" {
  type = string
}
variable "workdir" {
  type = string
}
variable "claude_api_key" {
  type      = string
  sensitive = true
  default   = ""
}
variable "claude_code_version" {
  type    = string
  default = "latest"
}
variable "agentapi_version" {
  type    = string
  default = "v0.10.0"
}
variable "ai_prompt" {
  type    = string
  default = ""
}
variable "model" {
  type    = string
  default = ""
}
variable "permission_mode" {
  type    = string
  default = ""
}
variable "mcp" {
  type    = string
  default = ""
}

data "coder_workspace" "me" {}

locals {
  port = 40000 + parseint(substr(sha256(data.coder_workspace.me.id), 0, 6), 16) % 9000
}

resource "coder_env" "claude_api_key" {
  agent_id = var.agent_id
  name     = "ANTHROPIC_API_KEY"
  value    = var.claude_api_key
}

resource "coder_env" "slug" {
  agent_id = var.agent_id
  name     = "CODER_MCP_APP_STATUS_SLUG"
  value    = "ccw"
}

resource "coder_script" "agent" {
  agent_id     = var.agent_id
  display_name = "Claude Code"
  run_on_start = true
  log_path     = "$HOME/claude-code.log"
  script       = <<-EOT
    #!/bin/bash
    set -e
    echo started >>"$HOME/starts"
    prompt=$(echo -n "${base64encode(var.ai_prompt)}" | base64 -d)
    coder exp mcp configure claude-code "$HOME" --claude-config-path "$HOME/.claude.json" >/dev/null
    grep -q '"coder"' "$HOME/.claude.json"
    {
      echo '{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2024-11-05","capabilities":{},"clientInfo":{"name":"t","version":"1"}}}'
      echo '{"jsonrpc":"2.0","method":"notifications/initialized"}'
      echo '{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"coder_report_task","arguments":{"summary":"begun: '"$prompt"'","link":"https://example.com/work","state":"working"}}}'
      sleep 2
    } | coder exp mcp server
    echo "echo $prompt" | AGENTAPI_PORT=${local.port} AGENTAPI_STATE_FILE="$HOME/agentapi-state.json" \
      exec stint-agent agentapi server --type custom -- sh
  EOT
}

resource "coder_script" "stop" {
  agent_id     = var.agent_id
  display_name = "Stop Claude Code"
  run_on_stop  = true
  script       = "curl -fsS http://localhost:${local.port}/messages >\"$HOME/last-messages.json\""
}

resource "coder_app" "web" {
  agent_id     = var.agent_id
  slug         = "ccw"
  display_name = "Claude Code Web"
  url          = "http://localhost:${local.port}/"
  healthcheck {
    url       = "http://localhost:${local.port}/status"
    interval  = 3
    threshold = 20
  }
}

output "task_app_id" {
  value = coder_app.web.id
}
