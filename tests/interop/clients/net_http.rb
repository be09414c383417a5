# The stream of a URL by Ruby's own client, piece by piece.
require "net/http"

url = URI(ARGV[0])
$stdout.sync = true
Net::HTTP.start(url.host, url.port) do |http|
  http.read_timeout = nil # or it ends after 60 silent seconds
  http.request_get(url) do |response|
    response.read_body { |piece| print piece }
  end
end
