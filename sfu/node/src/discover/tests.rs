use super::*;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn config(listen: &[&str], given: &[&str]) -> NodeConfig {
    let mut config = NodeConfig::default();
    config.udp.listen = listen.iter().map(|a| a.parse().unwrap()).collect();
    config.tcp.listen = config.udp.listen.clone();
    config.discover.given = given.iter().map(|a| ip(a)).collect();
    config
}

fn told(config: &NodeConfig) -> Vec<String> {
    config
        .udp
        .advertise
        .iter()
        .map(ToString::to_string)
        .collect()
}

const BOTH: [&str; 2] = ["0.0.0.0:7882", "[::]:7882"];

#[tokio::test]
async fn each_family_takes_the_first_address_that_will_do() {
    let given = ["fd00::5", "10.0.0.5", "8.8.4.4", "2600::7"];
    let mut any = config(&BOTH, &given);
    apply(&mut any).await.unwrap();
    assert_eq!(told(&any), ["10.0.0.5", "fd00::5"]);
    assert_eq!(any.udp.advertise, any.tcp.advertise);

    let mut public = config(&BOTH, &given);
    public.discover.public_only = true;
    apply(&mut public).await.unwrap();
    assert_eq!(told(&public), ["8.8.4.4", "2600::7"]);
    assert_eq!(public.validate(), Ok(()));
}

#[tokio::test]
async fn a_family_without_an_address_is_not_listened_on() {
    let mut one = config(&BOTH, &["10.0.0.5"]);
    apply(&mut one).await.unwrap();
    assert_eq!(one.udp.listen, ["0.0.0.0:7882".parse().unwrap()]);
    assert_eq!(one.tcp.listen, one.udp.listen);

    let mut none = config(&BOTH, &["10.0.0.5"]);
    none.discover.public_only = true;
    let error = apply(&mut none).await.unwrap_err().to_string();
    assert_eq!(
        error,
        "no address to tell clients was found: 10.0.0.5 is not public"
    );
}

#[tokio::test]
async fn what_is_said_in_the_settings_stands() {
    let mut said = config(&["0.0.0.0:7882"], &["10.0.0.5"]);
    said.udp.advertise = vec!["203.0.113.7:40000".parse().unwrap()];
    apply(&mut said).await.unwrap();
    assert_eq!(told(&said), ["203.0.113.7:40000"]);
    assert_eq!(said.tcp.advertise[0].ip, ip("10.0.0.5"));

    let mut specific = config(&["127.0.0.1:7882"], &["10.0.0.5"]);
    let before = specific.clone();
    apply(&mut specific).await.unwrap();
    assert_eq!(specific, before);
}

#[tokio::test]
async fn a_stun_server_is_asked_when_nothing_given_will_do() {
    let server = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let mut asked = config(&["0.0.0.0:7882"], &["10.0.0.5"]);
    asked.discover.public_only = true;
    let name = server.local_addr().unwrap().to_string();
    // The first one has no address of the family, and is passed over.
    asked.discover.stun = ["[::1]:3478".to_owned(), name]
        .map(|name| name.parse().unwrap())
        .to_vec();
    let serve = async {
        let mut message = [0; 32];
        let (_, from) = server.recv_from(&mut message).await.unwrap();
        let address = [0, 1, 0, 0, 1, 1, 1, 1];
        message[..4].copy_from_slice(&[1, 1, 0, 12]);
        message[20..24].copy_from_slice(&[0, 1, 0, 8]);
        message[24..].copy_from_slice(&address);
        server.send_to(&message, from).await.unwrap();
    };
    let (applied, ()) = tokio::join!(apply(&mut asked), serve);
    applied.unwrap();
    assert_eq!(told(&asked), ["1.1.1.1"]);
}

#[test]
fn public_addresses_are_told_from_others() {
    for public in [
        "8.8.8.8",
        "100.128.0.1",
        "172.32.0.1",
        "198.20.0.1",
        "2600::1",
    ] {
        assert!(is_public(ip(public)), "{public}");
    }
    for other in [
        "0.0.0.1",
        "10.0.0.1",
        "100.64.0.1",
        "127.0.0.1",
        "169.254.1.1",
        "172.16.0.1",
        "192.0.0.8",
        "192.168.0.1",
        "198.18.0.1",
        "203.0.113.7",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "::1",
        "::",
        "fe80::1",
        "fd00::1",
        "ff02::1",
        "2001:db8::1",
        "::ffff:8.8.8.8",
    ] {
        assert!(!is_public(ip(other)), "{other}");
    }
}
