# Plays the scenario of clients_test.go with Debian's gRPC for Ruby and generated code.
#
# usage: ruby -Isdk/ruby ruby_grpc.rb ADDRESS NAME CHANNEL...
require "json"
require "millrace/v1/realtime_service_services_pb"

include Millrace::V1

$stdout.sync = true
def say(what) = puts(JSON.generate(what))

def play(stub, name, channels)
  request = SubscribeRequest.new(subscriptions: channels.map { |channel| { channel: channel } }, client: "ruby-grpc")
  operation = stub.subscribe(request, return_op: true)
  operation.execute.each do |response|
    say(subscribed: response.subscribed.channel) if response.notice == :subscribed
    response.messages.each do |message|
      data = message.payload.json
      say(channel: message.channel, offset: message.position.offset, data: data)
      word = JSON.parse(data)["say"]
      hello(stub, name, channels.first) if word == "hello"
      operation.cancel if word == "goodbye"
    end
  end
rescue GRPC::Cancelled
  say(cancelled: true)
end

def hello(stub, name, channel)
  payload = Payload.new(json: JSON.generate(from: name, n: 0))
  response = stub.publish(PublishRequest.new(channel: channel, payload: payload), deadline: Time.now + 10)
  say(published: response.position.offset)
end

address, name, *channels = ARGV
play(RealtimeService::Stub.new(address, :this_channel_is_insecure), name, channels)
