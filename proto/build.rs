//! Compiles the .proto files with a compiler written in Rust, so that no `protoc` is needed.

use std::{env, path::PathBuf};

use prost::Message as _;

const FILES: [&str; 6] = [
    "plenum/v1/model.proto",
    "plenum/v1/api.proto",
    "plenum/node/v1/node.proto",
    "plenum/relay/v1/relay.proto",
    "plenum/relay/v1/carrier.proto",
    "plenum/cluster/v1/cluster.proto",
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    for file in FILES {
        println!("cargo:rerun-if-changed={file}");
    }
    let descriptors = protox::compile(FILES, ["."])?;
    let out = PathBuf::from(env::var("OUT_DIR")?);
    std::fs::write(out.join("descriptors.bin"), descriptors.encode_to_vec())?;

    let grpc = env::var_os("CARGO_FEATURE_GRPC").is_some();
    tonic_prost_build::configure()
        .build_client(grpc)
        .build_server(grpc)
        .build_transport(false)
        .btree_map(".")
        .compile_fds(descriptors)?;
    Ok(())
}
