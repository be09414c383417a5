<?php
// The stream of a URL by PHP's own client, line by line. It waits for 8192 bytes of a
// response in chunks, which one to HTTP/1.0 has not; and 60 silent seconds end it. With
// its own "Connection: close" it would look like nginx, and need a token.
$http = ['protocol_version' => 1.0, 'timeout' => 3600, 'header' => 'Connection: keep-alive'];
$context = stream_context_create(['http' => $http]);
$stream = fopen($argv[1], 'r', false, $context);
while (($line = fgets($stream)) !== false) {
    echo $line;
}
