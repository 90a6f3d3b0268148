# What the documentation leaves to its reader: an agent, and something to run it on.
variable "root" {
  type = string
}

data "coder_workspace" "me" {}

resource "coder_agent" "example" {
  os   = "linux"
  arch = "amd64"
}

resource "terraform_data" "home" {
  input = "${var.root}/${data.coder_workspace.me.id}"
  provisioner "local-exec" {
    command = "mkdir -p '${self.input}'"
  }
  provisioner "local-exec" {
    when    = destroy
    command = "rm -rf '${self.input}'"
  }
}

resource "terraform_data" "process" {
  count      = data.coder_workspace.me.start_count
  input      = terraform_data.home.output
  depends_on = [module.claude-code]
  provisioner "local-exec" {
    command = "sh '${path.module}/process.sh' start '${self.input}'"
    environment = {
      CODER_AGENT_TOKEN = coder_agent.example.token
      INIT_SCRIPT       = coder_agent.example.init_script
    }
  }
  provisioner "local-exec" {
    when    = destroy
    command = "sh '${path.module}/process.sh' stop '${self.input}'"
  }
}
