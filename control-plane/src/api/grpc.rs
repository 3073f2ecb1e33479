//! The public API over gRPC, with reflection and health beside it. Must not decide anything: every
//! method goes to [`Calls`].

use std::sync::Arc;

use plenum_proto::v1::{
    self,
    agent_service_server::{AgentService, AgentServiceServer},
    egress_service_server::{EgressService, EgressServiceServer},
    event_service_server::{EventService, EventServiceServer},
    ingress_service_server::{IngressService, IngressServiceServer},
    node_service_server::{NodeService, NodeServiceServer},
    participant_service_server::{ParticipantService, ParticipantServiceServer},
    room_service_server::{RoomService, RoomServiceServer},
    token_service_server::{TokenService, TokenServiceServer},
};
use tonic::{
    Request, Response, Status,
    server::NamedService as _,
    service::{Routes, RoutesBuilder},
};
use tonic_health::server::{HealthReporter, HealthService};

use super::{calls::Calls, events::EventStream};
use crate::{auth::Verified, error::CallError, metrics::Api};

/// Why the services cannot be offered: the descriptors built into us do not fit together.
pub(crate) type ReflectionError = tonic_reflection::server::Error;

/// All services. Requests are at most `max_request` bytes long.
pub(crate) fn routes(
    calls: &Arc<Calls>,
    health: HealthReporter,
    max_request: usize,
) -> Result<Routes, ReflectionError> {
    let grpc = || Grpc(Arc::clone(calls));
    let reflection = || {
        let names = SERVICES.into_iter().chain([HEALTH, REFLECTION]);
        names.fold(
            tonic_reflection::server::Builder::configure()
                .register_encoded_file_descriptor_set(plenum_proto::FILE_DESCRIPTOR_SET)
                .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET),
            |builder, name| builder.with_service_name(name),
        )
    };
    let mut routes = RoutesBuilder::default();
    routes
        .add_service(RoomServiceServer::new(grpc()).max_decoding_message_size(max_request))
        .add_service(ParticipantServiceServer::new(grpc()).max_decoding_message_size(max_request))
        .add_service(TokenServiceServer::new(grpc()).max_decoding_message_size(max_request))
        .add_service(EventServiceServer::new(grpc()).max_decoding_message_size(max_request))
        .add_service(AgentServiceServer::new(grpc()).max_decoding_message_size(max_request))
        .add_service(NodeServiceServer::new(grpc()).max_decoding_message_size(max_request))
        .add_service(EgressServiceServer::new(grpc()).max_decoding_message_size(max_request))
        .add_service(IngressServiceServer::new(grpc()).max_decoding_message_size(max_request))
        .add_service(tonic_health::pb::health_server::HealthServer::new(
            HealthService::from_health_reporter(health),
        ))
        // Older tools ask the alpha of the same service.
        .add_service(reflection().build_v1alpha()?)
        .add_service(reflection().build_v1()?);
    Ok(routes.routes())
}

/// Names of our services.
pub(crate) const SERVICES: [&str; 8] = [
    RoomServiceServer::<Grpc>::NAME,
    ParticipantServiceServer::<Grpc>::NAME,
    TokenServiceServer::<Grpc>::NAME,
    EventServiceServer::<Grpc>::NAME,
    AgentServiceServer::<Grpc>::NAME,
    NodeServiceServer::<Grpc>::NAME,
    IngressServiceServer::<Grpc>::NAME,
    EgressServiceServer::<Grpc>::NAME,
];

/// Names of the services that are not ours, of which only types without a name are public.
const HEALTH: &str = "grpc.health.v1.Health";
const REFLECTION: &str = "grpc.reflection.v1.ServerReflection";

struct Grpc(Arc<Calls>);

impl Grpc {
    async fn run<M, T, F>(
        &self,
        method: &'static str,
        request: Request<M>,
        call: impl FnOnce(Arc<Calls>, Verified, M) -> F,
    ) -> Result<Response<T>, Status>
    where
        F: Future<Output = Result<T, CallError>>,
    {
        let (metadata, _, message) = request.into_parts();
        let headers = metadata.into_headers();
        let call = |calls, caller| call(calls, caller, message);
        Ok(Response::new(
            self.0.run(Api::Grpc, method, &headers, call).await?,
        ))
    }
}

/// Makes a service of a list of its methods, each named as in [`Calls`].
macro_rules! service {
    ($service:ident, $($method:ident: $request:ty => $reply:ty, $name:literal;)+) => {
        #[tonic::async_trait]
        impl $service for Grpc {
            $(
                async fn $method(
                    &self,
                    request: Request<$request>,
                ) -> Result<Response<$reply>, Status> {
                    let method = concat!(stringify!($service), "/", $name);
                    self.run(method, request, |calls, caller, message| async move {
                        calls.$method(&caller, message).await
                    })
                    .await
                }
            )+
        }
    };
}

service! {
    RoomService,
    create_room: v1::CreateRoomRequest => v1::Room, "CreateRoom";
    list_rooms: v1::ListRoomsRequest => v1::ListRoomsResponse, "ListRooms";
    get_room: v1::GetRoomRequest => v1::Room, "GetRoom";
    update_room: v1::UpdateRoomRequest => v1::Room, "UpdateRoom";
    delete_room: v1::DeleteRoomRequest => v1::DeleteRoomResponse, "DeleteRoom";
}

service! {
    ParticipantService,
    list_participants: v1::ListParticipantsRequest => v1::ListParticipantsResponse,
        "ListParticipants";
    get_participant: v1::GetParticipantRequest => v1::Participant, "GetParticipant";
    update_participant: v1::UpdateParticipantRequest => v1::Participant, "UpdateParticipant";
    remove_participant: v1::RemoveParticipantRequest => v1::RemoveParticipantResponse,
        "RemoveParticipant";
    mute_track: v1::MuteTrackRequest => v1::Track, "MuteTrack";
    update_subscriptions: v1::UpdateSubscriptionsRequest => v1::UpdateSubscriptionsResponse,
        "UpdateSubscriptions";
    send_data: v1::SendDataRequest => v1::SendDataResponse, "SendData";
    move_participant: v1::MoveParticipantRequest => v1::MoveParticipantResponse, "MoveParticipant";
    forward_participant: v1::ForwardParticipantRequest => v1::ForwardParticipantResponse,
        "ForwardParticipant";
    explain_subscriptions: v1::ExplainSubscriptionsRequest => v1::ExplainSubscriptionsResponse,
        "ExplainSubscriptions";
}

service! {
    TokenService,
    create_token: v1::CreateTokenRequest => v1::CreateTokenResponse, "CreateToken";
}

service! {
    IngressService,
    create_ingress: v1::CreateIngressRequest => v1::Ingress, "CreateIngress";
    list_ingresses: v1::ListIngressesRequest => v1::ListIngressesResponse, "ListIngresses";
    delete_ingress: v1::DeleteIngressRequest => v1::DeleteIngressResponse, "DeleteIngress";
}

service! {
    AgentService,
    create_dispatch: v1::CreateDispatchRequest => v1::Dispatch, "CreateDispatch";
    delete_dispatch: v1::DeleteDispatchRequest => v1::Dispatch, "DeleteDispatch";
    list_dispatches: v1::ListDispatchesRequest => v1::ListDispatchesResponse, "ListDispatches";
}

service! {
    EgressService,
    create_egress: v1::CreateEgressRequest => v1::Egress, "CreateEgress";
    list_egresses: v1::ListEgressesRequest => v1::ListEgressesResponse, "ListEgresses";
    delete_egress: v1::DeleteEgressRequest => v1::DeleteEgressResponse, "DeleteEgress";
}

service! {
    NodeService,
    list_nodes: v1::ListNodesRequest => v1::ListNodesResponse, "ListNodes";
    cordon_node: v1::CordonNodeRequest => v1::CordonNodeResponse, "CordonNode";
    drain_node: v1::DrainNodeRequest => v1::DrainNodeResponse, "DrainNode";
}

#[tonic::async_trait]
impl EventService for Grpc {
    type WatchEventsStream = EventStream;

    async fn watch_events(
        &self,
        request: Request<v1::WatchEventsRequest>,
    ) -> Result<Response<EventStream>, Status> {
        self.run(
            "EventService/WatchEvents",
            request,
            |calls, caller, message| async move { calls.watch_events(&caller, message).await },
        )
        .await
    }
}
