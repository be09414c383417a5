# The stream of a URL by Perl's own client, piece by piece.
use strict;
use warnings;
use HTTP::Tiny;

$| = 1;
my $http = HTTP::Tiny->new(timeout => 3600); # or it ends after 60 silent seconds
my $response = $http->get($ARGV[0], { data_callback => sub { print $_[0] } });
die "$response->{status} $response->{reason}\n" unless $response->{success};
