"""Speaks LSP with gradus-lsp-server and prints what matters of its answers."""

import json
import subprocess
import sys

server = subprocess.Popen(["gradus-lsp-server"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
count = 0


def send(method, params, request=True):
    global count
    message = {"jsonrpc": "2.0", "method": method, "params": params}
    if request:
        count += 1
        message["id"] = count
    text = json.dumps(message).encode()
    server.stdin.write(b"Content-Length: %d\r\n\r\n" % len(text) + text)
    server.stdin.flush()


def receive():
    length = 0
    while line := server.stdout.readline().strip():
        if line.lower().startswith(b"content-length"):
            length = int(line.split(b":")[1])
    return json.loads(server.stdout.read(length))


def opened(uri, text):
    document = {"uri": uri, "languageId": "mlir", "version": 1, "text": text}
    send("textDocument/didOpen", {"textDocument": document}, request=False)
    return receive()["params"]["diagnostics"]


def at(method, text, word, uri="test:///model.mlir"):
    """Asks about the second place where `word` stands."""
    place = text.index(word, text.index(word) + 1)
    line = text.count("\n", 0, place)
    character = place - text.rfind("\n", 0, place) - 1
    send("textDocument/" + method, {"textDocument": {"uri": uri}, "position": {"line": line, "character": character + 1}})
    return receive()["result"]


with open(sys.argv[1], encoding="utf-8") as file:
    model = file.read()
send("initialize", {"processId": 1, "capabilities": {}, "rootUri": None})
receive()
print("good:", opened("test:///model.mlir", model))
print("hover:", json.dumps(at("hover", model, "%fc1.w")))
print("definition: line", at("definition", model, "%fc1.w")[0]["range"]["start"]["line"])
print("bad:", opened("test:///bad.mlir", model.replace("relu", "rleu"))[0]["message"])
send("shutdown", None)
receive()
send("exit", None, request=False)
