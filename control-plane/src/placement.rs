//! Which node a room gets, and which node a participant of it. Pure functions of plain data; must not know
//! stores, channels or time.
//!
//! A room goes near its first participant: the same zone, else the same region, else anywhere. Among those
//! that are near, two are drawn by the room's name and the idler one takes it: figures of load are seconds old, and
//! whoever takes the idlest of all sends a whole crowd to one node. A draw by name is the same on every
//! replica, and moves few rooms when nodes come and go (rendezvous hashing).

/// A node as placement sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct Candidate<'a> {
    /// Its id.
    pub id: &'a str,
    /// Where it stands; "" = not known.
    pub region: &'a str,
    /// Where in the region.
    pub zone: &'a str,
    /// Share of what it can take, 0 to 1, by the scarcest.
    pub load: f32,
    /// It takes new rooms: neither cordoned nor draining.
    pub is_open: bool,
    /// Other nodes can serve participants of its rooms, and it can serve those of others.
    pub relays: bool,
}

/// Where a participant is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Origin<'a> {
    /// "" = not known.
    pub region: &'a str,
    /// "" = not known.
    pub zone: &'a str,
}

/// A node with more load takes no more as long as others can.
const FULL: f32 = 0.95;

/// A node that is near takes no more new rooms when it has so much more load than the idlest of all.
const BALANCE: f32 = 0.5;

/// The node for a new room.
pub fn place_room<'a>(room: &str, origin: Origin<'_>, nodes: &[Candidate<'a>]) -> Option<&'a str> {
    let open = || nodes.iter().filter(|node| node.is_open && node.load < 1.0);
    let idlest = open().map(|node| node.load).fold(f32::INFINITY, f32::min);
    let is_fit = |node: &&Candidate<'_>| node.load < FULL && node.load <= idlest + BALANCE;
    let nearest = open()
        .filter(is_fit)
        .map(|node| distance(origin, node))
        .min();
    match nearest {
        Some(nearest) => draw(
            room,
            open()
                .filter(is_fit)
                .filter(|node| distance(origin, node) == nearest),
        ),
        // All are nearly full: any that still takes somebody.
        None => draw(room, open()),
    }
}

/// The node for a participant of a room whose home is `home`: the home itself, unless that is full or in another
/// region than the participant, and a node that can stand in for it is there.
pub fn place_participant<'a>(
    room: &str,
    origin: Origin<'_>,
    home: &Candidate<'a>,
    nodes: &[Candidate<'a>],
) -> &'a str {
    let is_near = origin.region.is_empty() || home.region == origin.region;
    if !home.relays || (is_near && home.load < FULL) {
        return home.id;
    }
    let edges = nodes.iter().filter(|node| {
        let is_right = if is_near {
            node.region == home.region
        } else {
            node.region == origin.region
        };
        node.id != home.id && node.relays && node.is_open && node.load < FULL && is_right
    });
    draw(room, edges).unwrap_or(home.id)
}

/// 0 = the same zone, 1 = the same region, 2 = elsewhere. What is not known is not near.
fn distance(origin: Origin<'_>, node: &Candidate<'_>) -> u8 {
    let is_same = |a: &str, b: &str| !a.is_empty() && a == b;
    match (
        is_same(origin.region, node.region),
        is_same(origin.zone, node.zone),
    ) {
        (true, true) => 0,
        (true, false) => 1,
        (false, _) => 2,
    }
}

/// The idler of the two that the name draws.
fn draw<'n, 'a: 'n>(room: &str, nodes: impl Iterator<Item = &'n Candidate<'a>>) -> Option<&'a str> {
    let mut drawn: Vec<_> = nodes.map(|node| (weight(room, node.id), node)).collect();
    drawn.sort_by(|(a, x), (b, y)| b.cmp(a).then_with(|| x.id.cmp(y.id)));
    drawn.truncate(2);
    let idler = drawn
        .iter()
        .min_by(|(_, x), (_, y)| x.load.total_cmp(&y.load))?;
    Some(idler.1.id)
}

/// The same on every replica and in every version: FNV-1a, then mixed so that like names differ in all bits.
fn weight(room: &str, node: &str) -> u64 {
    let bytes = room.bytes().chain([0]).chain(node.bytes());
    let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let mixed = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    mixed ^ (mixed >> 33)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node<'a>(id: &'a str, region: &'a str, zone: &'a str, load: f32) -> Candidate<'a> {
        Candidate {
            id,
            region,
            zone,
            load,
            is_open: true,
            relays: true,
        }
    }

    fn near<'a>(region: &'a str, zone: &'a str) -> Origin<'a> {
        Origin { region, zone }
    }

    #[test]
    fn a_room_goes_near_its_first_participant() {
        let nodes = [
            node("a", "eu", "eu-1", 0.3),
            node("b", "eu", "eu-2", 0.1),
            node("c", "us", "us-1", 0.0),
            node("d", "", "", 0.0),
        ];
        for (origin, expected) in [
            (near("eu", "eu-1"), "a"),
            (near("eu", "eu-2"), "b"),
            (near("us", ""), "c"),
        ] {
            assert_eq!(
                place_room("r", origin, &nodes),
                Some(expected),
                "{origin:?}"
            );
        }
        let of_region = place_room("r", near("eu", "eu-9"), &nodes);
        assert_eq!(of_region, Some("b"), "the idler of the region");
        assert!(place_room("r", near("asia", ""), &nodes).is_some());
        assert_eq!(place_room("r", near("eu", ""), &[]), None);
    }

    #[test]
    fn closed_and_full_nodes_take_no_room() {
        let closed = Candidate {
            is_open: false,
            ..node("a", "eu", "", 0.0)
        };
        let far = node("b", "us", "", 0.2);
        let nodes = [closed.clone(), far.clone()];
        assert_eq!(place_room("r", near("eu", ""), &nodes), Some("b"));
        let nodes = [node("a", "eu", "", 0.97), far.clone()];
        assert_eq!(place_room("r", near("eu", ""), &nodes), Some("b"));
        let nodes = [node("a", "eu", "", 0.8), far];
        assert_eq!(
            place_room("r", near("eu", ""), &nodes),
            Some("b"),
            "far idler"
        );
        let nodes = [node("a", "eu", "", 0.97), node("b", "eu", "", 1.0)];
        assert_eq!(
            place_room("r", near("eu", ""), &nodes),
            Some("a"),
            "the last place"
        );
        assert_eq!(place_room("r", near("eu", ""), &[closed]), None);
    }

    #[test]
    fn rooms_spread_over_equal_nodes_and_stay_when_one_goes() {
        let ids: Vec<String> = (0..5).map(|n| format!("ND_{n}")).collect();
        let nodes: Vec<_> = ids.iter().map(|id| node(id, "", "", 0.5)).collect();
        let mut counts = [0; 5];
        let mut moved = 0;
        for room in (0..1000).map(|n| format!("room-{n}")) {
            let placed = place_room(&room, Origin::default(), &nodes).unwrap();
            counts[ids.iter().position(|id| id == placed).unwrap()] += 1;
            let without = place_room(&room, Origin::default(), &nodes[..4]).unwrap();
            moved += i32::from(placed != "ND_4" && placed != without);
        }
        assert!(
            counts.iter().all(|count| (120..280).contains(count)),
            "{counts:?}"
        );
        assert_eq!(moved, 0, "only rooms of the node that is gone move");
    }

    #[test]
    fn a_participant_goes_to_the_home_unless_another_node_is_better() {
        let home = node("a", "eu", "", 0.5);
        let edge = node("b", "us", "", 0.5);
        let nodes = [home.clone(), edge.clone(), node("c", "eu", "", 0.1)];
        let place =
            |origin, home: &Candidate<'_>| place_participant("r", origin, home, &nodes).to_owned();
        assert_eq!(place(near("eu", ""), &home), "a");
        assert_eq!(place(near("", ""), &home), "a");
        assert_eq!(place(near("us", ""), &home), "b", "its own region");
        assert_eq!(place(near("asia", ""), &home), "a", "nobody is nearer");
        let full = node("a", "eu", "", 0.96);
        assert_eq!(place(near("eu", ""), &full), "c", "the home is full");
        let alone = Candidate {
            relays: false,
            ..home
        };
        assert_eq!(place(near("us", ""), &alone), "a", "no relay, no edge");
    }
}
