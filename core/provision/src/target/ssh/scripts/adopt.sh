# A machine that was somebody else's becomes ours (the first argument).
owner=$1
