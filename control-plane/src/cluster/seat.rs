//! A node for a participant: the home of the room or one that stands in for it. Owns what is done about a node that
//! did not take somebody. Must not open sessions.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use plenum_proto::{
    node::{AdminRequest, admin_request::Kind},
    v1::GetParticipantRequest,
};

use super::{Cluster, Located, Make, Member, PlaceError, admin::elsewhere};
use crate::signal::{NoSeat, NodeForRoom, Seat, Unfit, Wish};

impl NodeForRoom for Arc<Cluster> {
    fn seat<'a>(&'a self, wish: Wish<'a>) -> BoxFuture<'a, Result<Seat, NoSeat>> {
        Box::pin(async move {
            self.find_seat(wish).await.map_err(|error| match error {
                PlaceError::NoRoom => NoSeat::NoRoom,
                error => {
                    tracing::warn!(%error, "no node for a participant");
                    NoSeat::NoNode
                }
            })
        })
    }
}

impl Cluster {
    async fn find_seat(&self, wish: Wish<'_>) -> Result<Seat, PlaceError> {
        let mut over = None;
        if let Some((seat, why)) = wish.refused {
            over = self.on_unfit(seat, why).await?;
        }
        let make = if wish.must_exist {
            Make::Never
        } else {
            Make::IfAbsent
        };
        let located = self.locate(wish.room, make, over).await?;
        let member = if wish.resumes {
            self.holder(&located, wish.identity).await
        } else {
            self.serving(&located)
        };
        Ok(Seat {
            node: member.client.clone(),
            node_id: member.id().to_owned(),
            home: Some(located.home_node()),
            room_id: located.record.room_id.clone(),
            config: located.record.config.clone(),
        })
    }

    /// A seat could not be taken; the epoch that is over, if one is.
    ///
    /// # Errors
    /// The node is silent, and may yet live: nobody may take its room.
    pub(super) async fn on_unfit(
        &self,
        seat: &Seat,
        why: Unfit,
    ) -> Result<Option<u64>, PlaceError> {
        let Some(member) = self.nodes().find(&seat.node_id) else {
            return Ok(None);
        };
        match why {
            // A node that is being emptied has let go of it: the room goes on.
            Unfit::Stale if member.is_draining() => Ok(None),
            Unfit::Stale => Ok(seat.home.as_ref().map(|home| home.epoch)),
            Unfit::Draining => {
                member.set_draining();
                Ok(None)
            }
            Unfit::Unreachable if self.nodes().suspect(&member).await => Ok(None),
            Unfit::Unreachable if member.is_draining() => Ok(None),
            Unfit::Unreachable => Err(PlaceError::NoNode),
        }
    }

    /// The node on which a participant is, which may stand in for the home.
    async fn holder(&self, located: &Located, identity: &str) -> Arc<Member> {
        let home = &located.home;
        if home.report.relay_addresses.is_empty() {
            return Arc::clone(home);
        }
        let room = located.record.config.as_ref();
        let request = AdminRequest {
            kind: Some(Kind::GetParticipant(GetParticipantRequest {
                room: room.map(|room| room.name.clone()).unwrap_or_default(),
                identity: identity.to_owned(),
            })),
            epoch: located.epoch,
            ..AdminRequest::default()
        };
        let answer = home.client.clone().admin(request).await;
        let named = answer.err().and_then(|status| elsewhere(&status));
        named
            .and_then(|id| self.nodes().find(&id))
            .unwrap_or_else(|| Arc::clone(home))
    }
}
