<?php
echo "first\n";
echo "line\n";
file_put_contents($argv[1], "told");
sleep(9999);
