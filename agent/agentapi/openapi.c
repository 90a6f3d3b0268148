/* SPDX-License-Identifier: Apache-2.0 */
/* Written as JSON, which the preprocessor turns into a string. */
#include "agent/agentapi/openapi.h"

#include <jansson.h>

#define JSON(...) #__VA_ARGS__

/* clang-format off */
static const char description[] = JSON({
  "openapi": "3.0.3",
  "info": {
    "title": "AgentAPI",
    "version": "0.12.1",
    "description": "Agents in a terminal, as Coder's agentapi offers them."
  },
  "paths": {
    "/status": {
      "get": {
        "operationId": "get-status",
        "description": "Returns the current status of the agent.",
        "responses": {
          "200": {
            "description": "OK",
            "content": {
              "application/json": {
                "schema": {"$ref": "#/components/schemas/StatusResponseBody"}
              }
            }
          },
          "default": {"$ref": "#/components/responses/Problem"}
        }
      }
    },
    "/messages": {
      "get": {
        "operationId": "get-messages",
        "description": "Returns the conversation.",
        "responses": {
          "200": {
            "description": "OK",
            "content": {
              "application/json": {
                "schema": {"$ref": "#/components/schemas/MessagesResponseBody"}
              }
            }
          },
          "default": {"$ref": "#/components/responses/Problem"}
        }
      }
    },
    "/message": {
      "post": {
        "operationId": "post-message",
        "description": "Sends; a user message is only taken while the status is stable.",
        "requestBody": {
          "required": true,
          "content": {
            "application/json": {"schema": {"$ref": "#/components/schemas/MessageRequestBody"}}
          }
        },
        "responses": {
          "200": {
            "description": "OK",
            "content": {
              "application/json": {
                "schema": {"$ref": "#/components/schemas/MessageResponseBody"}
              }
            }
          },
          "default": {"$ref": "#/components/responses/Problem"}
        }
      }
    },
    "/upload": {
      "post": {
        "operationId": "post-upload",
        "description": "Hands a file of at most 10 MiB to the agent.",
        "requestBody": {
          "required": true,
          "content": {
            "multipart/form-data": {
              "schema": {
                "type": "object",
                "required": ["file"],
                "properties": {"file": {"type": "string", "format": "binary"}}
              }
            }
          }
        },
        "responses": {
          "200": {
            "description": "OK",
            "content": {
              "application/json": {
                "schema": {"$ref": "#/components/schemas/UploadResponseBody"}
              }
            }
          },
          "default": {"$ref": "#/components/responses/Problem"}
        }
      }
    },
    "/events": {
      "get": {
        "operationId": "subscribeEvents",
        "description": "Server-sent events: how things stand, then what happens.",
        "responses": {
          "200": {
            "description": "OK",
            "content": {
              "text/event-stream": {
                "schema": {
                  "oneOf": [
                    {"$ref": "#/components/schemas/MessageUpdateBody"},
                    {"$ref": "#/components/schemas/StatusChangeBody"},
                    {"$ref": "#/components/schemas/AgentErrorBody"}
                  ]
                }
              }
            }
          },
          "default": {"$ref": "#/components/responses/Problem"}
        }
      }
    }
  },
  "components": {
    "responses": {
      "Problem": {
        "description": "Error",
        "content": {
          "application/problem+json": {"schema": {"$ref": "#/components/schemas/ErrorModel"}}
        }
      }
    },
    "schemas": {
      "AgentStatus": {"type": "string", "enum": ["running", "stable"]},
      "ConversationRole": {"type": "string", "enum": ["agent", "user"]},
      "MessageType": {"type": "string", "enum": ["raw", "user"]},
      "StatusResponseBody": {
        "type": "object",
        "required": ["agent_type", "status", "transport"],
        "properties": {
          "agent_type": {"type": "string"},
          "status": {"$ref": "#/components/schemas/AgentStatus"},
          "transport": {"type": "string", "enum": ["acp", "pty"]}
        }
      },
      "Message": {
        "type": "object",
        "required": ["content", "id", "role", "time"],
        "properties": {
          "content": {"type": "string"},
          "id": {"type": "integer", "format": "int64"},
          "role": {"$ref": "#/components/schemas/ConversationRole"},
          "time": {"type": "string", "format": "date-time"}
        }
      },
      "MessagesResponseBody": {
        "type": "object",
        "required": ["messages"],
        "properties": {
          "messages": {"type": "array", "items": {"$ref": "#/components/schemas/Message"}}
        }
      },
      "MessageRequestBody": {
        "type": "object",
        "additionalProperties": false,
        "required": ["content", "type"],
        "properties": {
          "content": {"type": "string", "example": "Hello, agent!"},
          "type": {"$ref": "#/components/schemas/MessageType"}
        }
      },
      "MessageResponseBody": {
        "type": "object",
        "required": ["ok"],
        "properties": {"ok": {"type": "boolean"}}
      },
      "UploadResponseBody": {
        "type": "object",
        "required": ["filePath", "ok"],
        "properties": {"filePath": {"type": "string"}, "ok": {"type": "boolean"}}
      },
      "MessageUpdateBody": {
        "type": "object",
        "required": ["id", "message", "role", "time"],
        "properties": {
          "id": {"type": "integer", "format": "int64"},
          "message": {"type": "string"},
          "role": {"$ref": "#/components/schemas/ConversationRole"},
          "time": {"type": "string", "format": "date-time"}
        }
      },
      "StatusChangeBody": {
        "type": "object",
        "required": ["agent_type", "status"],
        "properties": {
          "agent_type": {"type": "string"},
          "status": {"$ref": "#/components/schemas/AgentStatus"}
        }
      },
      "AgentErrorBody": {
        "type": "object",
        "required": ["level", "message", "time"],
        "properties": {
          "level": {"type": "string", "enum": ["error", "warning"]},
          "message": {"type": "string"},
          "time": {"type": "string", "format": "date-time"}
        }
      },
      "ErrorDetail": {
        "type": "object",
        "properties": {
          "location": {"type": "string"},
          "message": {"type": "string"},
          "value": {}
        }
      },
      "ErrorModel": {
        "type": "object",
        "properties": {
          "title": {"type": "string"},
          "status": {"type": "integer", "format": "int64"},
          "detail": {"type": "string"},
          "errors": {"type": "array", "items": {"$ref": "#/components/schemas/ErrorDetail"}}
        }
      }
    }
  }
});
/* clang-format on */

char *openapi_text(void)
{
    json_t *root = json_loads(description, 0, NULL);
    char *text = json_dumps(root, JSON_INDENT(2) | JSON_SORT_KEYS);
    json_decref(root);
    return text;
}
