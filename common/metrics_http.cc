#include "common/metrics_http.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <prometheus/collectable.h>
#include <prometheus/exposer.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <exception>
#include <future>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

namespace vernier {
namespace {

constexpr int kThreads = 2;
constexpr int kConnectMillis = 20;  // of our own machine

// Where a connection reaches who listens at `host`: an address, or one that stands for all of the machine's.
template <typename Address>
Address Reachable(int family, const std::string& host, const Address& any, const Address& loopback) {
  Address address{};
  if (::inet_pton(family, host.c_str(), &address) != 1) return loopback;
  return std::memcmp(&address, &any, sizeof(any)) == 0 ? loopback : address;
}

// Opens a connection and closes it, within a moment.
void Connect(const std::string& endpoint) {
  const size_t colon = endpoint.rfind(':');
  const bool v6 = endpoint[0] == '[';
  int port = 0;
  if (!absl::SimpleAtoi(endpoint.substr(colon + 1), &port)) return;
  const std::string host = v6 ? endpoint.substr(1, colon - 2) : endpoint.substr(0, colon);
  sockaddr_in address4{};
  address4.sin_family = AF_INET;
  address4.sin_port = htons(static_cast<uint16_t>(port));
  address4.sin_addr = Reachable(AF_INET, host, in_addr{htonl(INADDR_ANY)}, in_addr{htonl(INADDR_LOOPBACK)});
  sockaddr_in6 address6{};
  address6.sin6_family = AF_INET6;
  address6.sin6_port = address4.sin_port;
  address6.sin6_addr = Reachable(AF_INET6, host, in6addr_any, in6addr_loopback);
  const int fd = ::socket(v6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return;
  const int connected = v6 ? ::connect(fd, reinterpret_cast<sockaddr*>(&address6), sizeof(address6))
                           : ::connect(fd, reinterpret_cast<sockaddr*>(&address4), sizeof(address4));
  // Refused: it has stopped listening, which is what we want.
  if (connected != 0 && errno == EINPROGRESS) {
    pollfd open{.fd = fd, .events = POLLOUT, .revents = 0};
    (void)::poll(&open, 1, kConnectMillis);
  }
  ::close(fd);
}

}  // namespace

MetricsHttp::MetricsHttp(std::unique_ptr<prometheus::Exposer> exposer, std::string endpoint)
    : exposer_(std::move(exposer)), endpoint_(std::move(endpoint)) {}

// The HTTP server looks whether it should stop only every two seconds, and whenever somebody connects.
MetricsHttp::~MetricsHttp() {
  const std::future<void> stopped = std::async(std::launch::async, [this] { exposer_.reset(); });
  do {
    Connect(endpoint_);
  } while (stopped.wait_for(std::chrono::milliseconds(20)) != std::future_status::ready);
}

absl::StatusOr<std::unique_ptr<MetricsHttp>> MetricsHttp::Start(
    absl::string_view listen, const std::shared_ptr<prometheus::Collectable>& metrics) {
  // The HTTP server takes addresses only.
  std::string address(listen);
  if (absl::string_view rest = listen; absl::ConsumePrefix(&rest, "localhost:")) {
    address = absl::StrCat("127.0.0.1:", rest);
  }
  try {
    auto exposer = std::make_unique<prometheus::Exposer>(address, kThreads);
    exposer->RegisterCollectable(metrics);
    std::string endpoint =
        absl::StrCat(address.substr(0, address.rfind(':')), ":", exposer->GetListeningPorts().at(0));
    return std::unique_ptr<MetricsHttp>(new MetricsHttp(std::move(exposer), std::move(endpoint)));
  } catch (const std::exception&) {
    return absl::FailedPreconditionError(
        absl::StrCat("--metrics-listen ", listen,
                     ": cannot listen there, another program may use the port; choose "
                     "another, or port 0 for any free one"));
  }
}

}  // namespace vernier
