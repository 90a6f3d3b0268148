# SPDX-License-Identifier: Apache-2.0
# Tasks on Kubernetes: a pod per task, its home in a volume claim that a pause keeps.
#
# Inside the cluster the worker's service account is used; elsewhere name a kubeconfig:
# terraform_binds = /root/.kube/config, terraform_env = KUBE_CONFIG_PATH.
terraform {
  required_providers {
    coder = {
      source  = "coder/coder"
      version = ">= 2.13"
    }
    kubernetes = {
      source  = "hashicorp/kubernetes"
      version = ">= 2.30"
    }
  }
}

variable "namespace" {
  type        = string
  description = "The namespace of the pods; it has to be there."
  default     = "stint-tasks"
}

variable "image" {
  type        = string
  description = "With a shell, one of curl, wget and busybox, and the agent that `command` names."
  default     = "debian:bookworm"
}

variable "command" {
  type        = string
  description = "The terminal agent: a line for the shell. It is talked to over AgentAPI."
  default     = "sh"
}

data "coder_workspace" "me" {}
data "coder_workspace_owner" "me" {}
data "coder_task" "me" {}

data "coder_parameter" "memory" {
  name         = "memory"
  display_name = "Memory"
  description  = "Of the pod, in GiB."
  type         = "number"
  default      = 2
  mutable      = true
  validation {
    min = 1
    max = 64
  }
}

locals {
  name = "stint-${data.coder_workspace.me.id}"
  labels = {
    "app.kubernetes.io/name"       = "stint-task"
    "app.kubernetes.io/instance"   = local.name
    "app.kubernetes.io/managed-by" = "stint"
    "stint/task"                   = data.coder_task.me.id
    "stint/owner"                  = data.coder_workspace_owner.me.id
  }
}

resource "coder_agent" "main" {
  os   = "linux"
  arch = "amd64"
  dir  = "/home/agent/project"
  env = {
    AGENTAPI_STATE_FILE = "/home/agent/.agentapi-state.json"
  }
}

resource "coder_script" "agent" {
  agent_id     = coder_agent.main.id
  display_name = "Agent"
  run_on_start = true
  script       = <<-EOT
    #!/bin/sh
    printf '%s' "$CODER_TASK_PROMPT" | exec stint-agent agentapi -- ${var.command}
  EOT
}

resource "coder_app" "agent" {
  agent_id     = coder_agent.main.id
  slug         = "agent"
  display_name = "Agent"
  url          = "http://localhost:3284/"
  healthcheck {
    url       = "http://localhost:3284/status"
    interval  = 3
    threshold = 20
  }
}

resource "coder_ai_task" "task" {
  count  = data.coder_workspace.me.start_count
  app_id = coder_app.agent.id
}

# Stays until the task is deleted.
resource "kubernetes_persistent_volume_claim_v1" "home" {
  metadata {
    name      = "${local.name}-home"
    namespace = var.namespace
    labels    = local.labels
  }
  wait_until_bound = false
  spec {
    access_modes = ["ReadWriteOnce"]
    resources {
      requests = {
        storage = "10Gi"
      }
    }
  }
}

# Goes with a stop: SIGTERM, five minutes to put everything away, then SIGKILL.
resource "kubernetes_pod_v1" "workspace" {
  count = data.coder_workspace.me.start_count
  metadata {
    name      = local.name
    namespace = var.namespace
    labels    = local.labels
  }
  timeouts {
    delete = "6m"
  }
  spec {
    termination_grace_period_seconds = 300
    automount_service_account_token  = false
    security_context {
      run_as_user     = 1000
      fs_group        = 1000
      run_as_non_root = true
    }
    container {
      name              = "agent"
      image             = var.image
      image_pull_policy = "IfNotPresent"
      command           = ["sh", "-c", coder_agent.main.init_script]
      env {
        name  = "CODER_AGENT_TOKEN"
        value = coder_agent.main.token
      }
      env {
        name  = "HOME"
        value = "/home/agent"
      }
      resources {
        requests = {
          cpu    = "250m"
          memory = "512Mi"
        }
        limits = {
          memory = "${data.coder_parameter.memory.value}Gi"
        }
      }
      volume_mount {
        mount_path = "/home/agent"
        name       = "home"
      }
    }
    volume {
      name = "home"
      persistent_volume_claim {
        claim_name = kubernetes_persistent_volume_claim_v1.home.metadata[0].name
      }
    }
  }
}
