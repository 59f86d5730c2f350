#include "server/api/grpc_server.h"

#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/health_check_service_interface.h>
#include <grpcpp/resource_quota.h>
#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server_builder.h>

#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "server/api/auth.h"
#include "server/api/rpc_metrics.h"

namespace vernier::server {
namespace {

// gRPC's own buffers, all connections together.
constexpr size_t kMaxBufferBytes = size_t{256} << 20;
// Reflection is the one service with a thread a stream.
constexpr int kMaxSyncThreads = 16;
constexpr int kMaxStreamsPerConnection = 256;
constexpr int kMaxMetadataBytes = 16 << 10;
constexpr absl::Duration kKeepalive = absl::Seconds(30);
constexpr absl::Duration kKeepaliveTimeout = absl::Seconds(10);
// A client that pings more often than this is cut off.
constexpr absl::Duration kFastestPings = absl::Seconds(5);
constexpr absl::Duration kHandshakeTimeout = absl::Seconds(10);

int Millis(absl::Duration duration) { return static_cast<int>(absl::ToInt64Milliseconds(duration)); }

void SetLimits(grpc::ServerBuilder& builder) {
  grpc::ResourceQuota quota("vernierd");
  quota.Resize(kMaxBufferBytes).SetMaxThreads(kMaxSyncThreads);
  builder.SetResourceQuota(quota);
  builder.SetMaxReceiveMessageSize(static_cast<int>(kMaxMessageBytes));
  builder.SetSyncServerOption(grpc::ServerBuilder::NUM_CQS, 1);
  builder.SetSyncServerOption(grpc::ServerBuilder::MAX_POLLERS, 1);
  // Without this a second server on the same port would get half of the connections instead of an error.
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, kMaxStreamsPerConnection);
  builder.AddChannelArgument(GRPC_ARG_MAX_METADATA_SIZE, kMaxMetadataBytes);
  builder.AddChannelArgument(GRPC_ARG_SERVER_HANDSHAKE_TIMEOUT_MS, Millis(kHandshakeTimeout));
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, Millis(kKeepalive));
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, Millis(kKeepaliveTimeout));
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, Millis(kFastestPings));
}

}  // namespace

absl::Status CheckLoopback(absl::string_view flag, absl::string_view address) {
  const size_t colon = address.rfind(':');
  int port = -1;
  if (colon == absl::string_view::npos || !absl::SimpleAtoi(address.substr(colon + 1), &port) || port < 0 ||
      port > 65535) {
    return absl::InvalidArgumentError(absl::StrCat(
        flag, " \"", Excerpt(address), "\" is not ADDRESS:PORT; write e.g. 127.0.0.1:0 for any free port"));
  }
  const absl::string_view host = address.substr(0, colon);
  if (host == "127.0.0.1" || host == "[::1]" || host == "localhost") return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(flag, " ", Excerpt(address),
                   " is refused: TLS is not configured, so vernierd listens on loopback "
                   "only (127.0.0.1, [::1] or localhost)"));
}

GrpcServer::GrpcServer(Options options, ApiContext& api, Edge& edge)
    : api_(api),
      edge_(edge),
      jobs_(api, edge.job_streams()),
      datasets_(api),
      models_(api, std::move(options.models)),
      artifacts_(api, edge.generate_streams()),
      admin_(api, std::move(options.admin)),
      agents_(api.strand, edge.agent_streams()) {}

absl::StatusOr<std::unique_ptr<GrpcServer>> GrpcServer::Start(Options options, ApiContext& api, Edge& edge,
                                                              Metrics& metrics) {
  if (absl::Status status = CheckLoopback("--listen", options.listen); !status.ok()) return status;
  grpc::EnableDefaultHealthCheckService(true);
  grpc::reflection::InitProtoReflectionServerBuilderPlugin();

  const std::string listen = options.listen;
  // Plain text, with a check that the peer is this machine.
  const std::shared_ptr<grpc::ServerCredentials> credentials =
      grpc::experimental::LocalServerCredentials(LOCAL_TCP);
  credentials->SetAuthMetadataProcessor(
      std::make_shared<TokenAuth>(std::move(options.token), std::move(options.token_where)));
  std::unique_ptr<GrpcServer> server(new GrpcServer(std::move(options), api, edge));
  grpc::ServerBuilder builder;
  int port = 0;
  builder.AddListeningPort(listen, credentials, &port);
  SetLimits(builder);
  std::vector<std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface>> interceptors;
  interceptors.push_back(std::make_unique<RpcMetricsFactory>(metrics, server->calls_));
  builder.experimental().SetInterceptorCreators(std::move(interceptors));
  for (grpc::Service* service :
       std::initializer_list<grpc::Service*>{&server->jobs_, &server->datasets_, &server->models_,
                                             &server->artifacts_, &server->admin_, &server->agents_}) {
    builder.RegisterService(service);
  }
  server->server_ = builder.BuildAndStart();
  if (server->server_ == nullptr || port == 0) {
    return absl::FailedPreconditionError(
        absl::StrCat("--listen ", listen,
                     ": cannot listen there, another program may use the port; choose another, or port 0 for "
                     "any free one"));
  }
  server->endpoint_ = absl::StrCat(listen.substr(0, listen.rfind(':')), ":", port);
  server->SetHealthy(true);
  return server;
}

GrpcServer::~GrpcServer() {
  Stop(absl::Now());
}  // the server itself lives until here: SetHealthy may come late

void GrpcServer::SetHealthy(bool healthy) { server_->GetHealthCheckService()->SetServingStatus(healthy); }

void GrpcServer::Stop(absl::Time deadline) {
  if (server_ == nullptr || std::exchange(stopped_, true)) return;
  SetHealthy(false);
  api_.strand.PostAlways([this](Core&, absl::Time) {
    edge_.EndStreams(absl::UnavailableError("vernierd is stopping; call again once it is back"));
  });
  // gRPC's own grace lasts until every client has hung up, which idle ones do not.
  calls_.AwaitNone(deadline);
  server_->Shutdown(absl::ToChronoTime(absl::Now()));
}

}  // namespace vernier::server
