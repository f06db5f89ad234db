"""A mail server that greets with its name and says goodbye to everything.

Usage: mail_server.py NAME PORT
"""

import socketserver
import sys

NAME, PORT = sys.argv[1], int(sys.argv[2])


class Mail(socketserver.StreamRequestHandler):
    def handle(self):
        self.wfile.write(f"220 {NAME} ready\r\n".encode())
        if self.rfile.readline(1000):
            self.wfile.write(f"221 {NAME} says goodbye\r\n".encode())


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


Server(("127.0.0.1", PORT), Mail).serve_forever()
