import sys
import time

print("first")
print("line")
with open(sys.argv[1], "w") as told:
    told.write("told")
time.sleep(9999)
