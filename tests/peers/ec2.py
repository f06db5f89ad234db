"""What an administrator does in the cloud beside Terraform.

    ec2.py URL terminate INSTANCE
    ec2.py URL instances
"""

import json
import sys

import boto3

url, command, *arguments = sys.argv[1:]
ec2 = boto3.client("ec2", endpoint_url=url, region_name="eu-central-1", aws_access_key_id="test",
                   aws_secret_access_key="test")
if command == "terminate":
    ec2.terminate_instances(InstanceIds=arguments)
elif command == "instances":
    found = [instance for group in ec2.describe_instances()["Reservations"] for instance in group["Instances"]]
    print(json.dumps([instance["InstanceId"] for instance in found if instance["State"]["Name"] == "running"]))
else:
    sys.exit(f"{command} is no command")
