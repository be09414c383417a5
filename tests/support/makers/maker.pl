use strict;
use warnings;

print "first\n";
print "line\n";
open my $told, ">", $ARGV[0] or die $!;
syswrite $told, "told";
sleep 9999;
